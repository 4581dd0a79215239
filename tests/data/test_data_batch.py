"""Prepared samples side by side."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import fusionkit as fk
from fusionkit.data import Prepared, collate


def item(index: int = 0, **inputs: Any) -> Prepared:
    return Prepared(index, f"s{index}", inputs, index % 2)


def image(height: int = 4) -> torch.Tensor:
    return torch.randint(0, 256, (height, 5, 3), dtype=torch.uint8).permute(2, 0, 1)


def test_images_lie_as_networks_take_them():
    first, second = image(), image()
    batch = collate([item(0, a=first, b=first), item(1, a=second, b=second)])
    assert batch.inputs["a"].is_contiguous()
    assert torch.equal(batch.inputs["a"], torch.stack([first, second]))
    assert batch.inputs["a"] is batch.inputs["b"]
    assert batch.counted.tolist() == [True, True]


def test_what_branches_share_is_moved_once():
    shared = image()
    batch = collate([item(a=shared, b=shared, c={"x": torch.ones(3)})])
    moved = batch.to("meta", non_blocking=True)
    assert moved.inputs["a"] is moved.inputs["b"]
    assert moved.labels is not None
    tensors = (moved.inputs["a"], moved.inputs["c"]["x"], moved.labels, moved.indices)
    assert all(tensor.is_meta for tensor in (*tensors, moved.counted))
    assert moved.ids == batch.ids


def test_labels_are_there_for_all_or_for_none():
    assert collate([item(0, a=image())]).labels is not None
    unlabelled = Prepared(1, "s1", {"a": image()})
    assert collate([item(0, a=image()), unlabelled]).labels is None


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (image(), image(6), r"'a': s1 has the shape \(3, 6, 5\), but s0 \(3, 4, 5\); inputs that"),
        (image(), image().float(), "'a': a batch mixes torch.float32 and torch.uint8"),
        ({"x": torch.ones(2)}, {"y": torch.ones(2)}, "'a': a batch mixes \\['x'\\] and \\['y'\\]"),
        (
            {"ids": torch.ones(2, dtype=torch.int64)},
            {"ids": torch.ones(3, dtype=torch.int64)},
            "texts of unlike length need an 'attention_mask'",
        ),
    ],
)
def test_what_cannot_stand_side_by_side(first: Any, second: Any, message: str):
    with pytest.raises(fk.DataError, match=message):
        collate([item(0, a=first), item(1, a=second)])
