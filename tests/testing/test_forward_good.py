"""What keeps its promises passes every check of the forward pass: toys and real networks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import odd_toys
import pytest
import torch
import toys
from sound_backbone import Sound, factory
from torch import Tensor

import fusionkit as fk
import fusionkit.testing as kit
from fusionkit.testing.backbones.forward import CHECKS

NAMES = [check.name for check in CHECKS]


def _classless(kind: Callable[..., fk.Backbone]) -> Callable[..., fk.Backbone]:
    def make(*, in_channels: int = 3, weights: str | None = None) -> fk.Backbone:
        return kind(in_channels)

    return make


def _classifies(*, in_channels: int = 3, num_classes: int | None = None) -> fk.Backbone:
    return odd_toys.Classifies(in_channels, num_classes if num_classes == 5 else None)


class FlatInput(toys.VectorNet):
    def check_input(self, x: Any) -> None:
        if not isinstance(x, Tensor):
            raise fk.DataError(f"takes a tensor, got {type(x).__name__}")
        super().check_input(x)


class Mapped(toys.VectorNet):
    """Takes a mapping, as text backbones do."""

    def check_input(self, x: Any) -> None:
        if not isinstance(x, dict) or set(x) != {"values", "mask"}:
            raise fk.DataError("takes a mapping of values and mask")
        super().check_input(x["values"])

    def example(self, batch: int = 2) -> dict[str, Tensor]:
        values = super().example(batch)
        return {"values": values, "mask": torch.ones(values.shape, dtype=torch.bool)}

    def forward(self, x: Any, reads: fk.Reads) -> fk.Features:
        return super().forward(x["values"] * x["mask"], reads)


TOYS: dict[str, Callable[..., fk.Backbone]] = {
    "tiny": _classless(toys.TinyNet),
    "undeclared": _classless(partial(toys.TinyNet, declare=False)),
    "vector": _classless(FlatInput),
    "mapped": _classless(Mapped),
    "classifies": _classifies,
    **{name: _classless(kind) for name, kind in odd_toys.PLAIN.items()},
}
EXPECTED = {"tokens": {"every_parameter_learns": "it has a mask token that nobody reads"}}


@pytest.mark.parametrize("name", TOYS)
def test_a_toy_passes(name: str) -> None:
    kit.check_backbone(TOYS[name], only=NAMES, expected_failures=EXPECTED.get(name))


def test_no_arguments_at_all_are_enough() -> None:
    report = kit.check_backbone(Sound, only=NAMES, on_fail="report")
    assert report.passed, str(report)
    nothing = kit.check_backbone(lambda: Sound(3, None), only=NAMES)
    assert nothing["other_channel_counts_work"].cause == "the factory takes no in_channels"


def test_another_answer_than_the_providers_is_told() -> None:
    def reference(backbone: fk.Backbone, x: Any) -> fk.Features:
        maps = backbone.trunk(x)
        return fk.Features(vector=backbone.top(maps[-1].amax((2, 3))), maps=tuple(maps))

    report = kit.check_backbone(factory(Sound), only=NAMES, reference=reference, on_fail="report")
    assert [each.check for each in report.failures] == ["equals_the_providers_model"]
    (finding,) = report["equals_the_providers_model"].findings
    assert finding.what.startswith("compared with the provider's own model, the vector differs by")
    assert "the provider's own forward pass" in finding.todo
