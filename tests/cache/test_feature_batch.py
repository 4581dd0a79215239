"""A batch moves with all that is in it, and what is shared is moved once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import fusionkit as fk
from fusionkit.cache import FeatureBatch
from fusionkit.cache.batch import without
from fusionkit.data import Batch

META = torch.device("meta")


def batch() -> FeatureBatch:
    image = torch.rand(2, 3, 4, 4)
    return FeatureBatch(
        inputs={"a": image, "b": image, "text": {"ids": torch.ones(2, 5)}, "raw": ["x", "y"]},
        features={
            "c": fk.Features(torch.rand(2, 3), (torch.rand(2, 1, 2, 2),), torch.rand(2, 4)),
            "d": fk.Features(),
        },
        labels=torch.tensor([0, 1]),
        ids=("x", "y"),
        indices=torch.tensor([5, 6]),
        counted=torch.tensor([True, False]),
        broken=(("z", "why"),),
    )


def test_everything_moves():
    moved = batch().to("meta")
    assert len(moved) == 2
    assert moved.inputs["a"] is moved.inputs["b"]
    assert moved.inputs["a"].device == moved.inputs["text"]["ids"].device == META
    assert moved.inputs["raw"] == ["x", "y"]
    c = moved.features["c"]
    assert {c.vector.device, c.maps[0].device, c.logits.device} == {META}
    assert moved.features["d"] == fk.Features()
    assert {moved.labels.device, moved.indices.device, moved.counted.device} == {META}
    assert (moved.ids, moved.broken) == (("x", "y"), (("z", "why"),))


def test_labels_may_be_unknown():
    assert replace(batch(), labels=None).to("meta").labels is None


def test_memory_is_pinned_for_all(monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    batch().pin_memory()
    assert len(pinned) == 1 + 1 + 3 + 3


def test_samples_are_taken_out_of_everything():
    whole = batch()
    images = Batch(
        {**whole.inputs, "both": {"words": ["p", "q"]}},
        whole.labels,
        whole.ids,
        whole.indices,
        whole.counted,
    )
    rest = without(images, {"x": "cut", "q": "elsewhere"})
    assert rest.ids == ("y",)
    assert torch.equal(rest.inputs["a"], whole.inputs["a"][1:])
    assert rest.inputs["text"]["ids"].shape == (1, 5)
    assert rest.inputs["raw"] == ["y"]
    assert rest.inputs["both"] == {"words": ["q"]}
    assert (rest.labels.tolist(), rest.indices.tolist()) == ([1], [6])
    assert rest.counted.tolist() == [False]
    assert rest.broken == (("x", "cut"),)
    with pytest.raises(fk.DataError, match="none of the 2 samples of a batch can be read: cut"):
        without(images, {"x": "cut", "y": "too"})
