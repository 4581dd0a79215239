"""What is made in the first forward pass is told once, and nothing else is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from evil_learning import AddsParameters, MakesParameters
from sound_backbone import WIDTH, Sound, factory
from torch import Tensor, nn

import fusionkit as fk
import fusionkit.testing as kit

NAME = "forward_makes_no_weights"


class MakesALayer(Sound):
    """Makes a layer of as many channels as it meets."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.extra = None

    def pool(self, x: Tensor) -> Tensor:
        if self.extra is None:
            self.extra = nn.Linear(x.shape[1], WIDTH)
        return super().pool(self.extra(x.movedim(1, -1)).movedim(-1, 1))


class MakesABuffer(Sound):
    """Saves a statistic that it has only after the first batch."""

    def pool(self, x: Tensor) -> Tensor:
        if self.training and "mean" not in self._buffers:
            self.register_buffer("mean", x.detach().mean())
        return super().pool(x)


class ReplacesABuffer(Sound):
    """Moves a statistic by putting another in its place."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.register_buffer("mean", torch.zeros(()))

    def pool(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean()
        return super().pool(x)


class ProjectsAnew(Sound):
    """Projects by a layer that it makes in each pass."""

    def pool(self, x: Tensor) -> Tensor:
        return nn.Linear(WIDTH, WIDTH)(super().pool(x))


EVIL: dict[str, tuple[Callable[..., fk.Backbone], str]] = {
    "layer": (factory(MakesALayer), "eval mode forward made, exchanged or dropped extra, extra."),
    "buffer": (factory(MakesABuffer), "in train mode forward made, exchanged or dropped mean"),
    "another buffer": (
        factory(ReplacesABuffer),
        "in train mode forward made, exchanged or dropped mean",
    ),
    "thrown away": (
        factory(ProjectsAnew),
        "eval mode forward made Linear.bias, Linear.weight",
    ),
    "new": (AddsParameters, "in eval mode forward made, exchanged or dropped extra"),
    "exchanged": (MakesParameters, "in eval mode forward made, exchanged or dropped two.weight"),
}


@pytest.mark.parametrize("name", EVIL)
def test_it_is_told_once(name: str) -> None:
    make, says = EVIL[name]
    report = kit.check_backbone(make, on_fail="report")
    (failure,) = report.failures
    assert failure.check == NAME
    (finding,) = failure.findings
    assert says in finding.what
    assert " in __init__" in finding.todo
    asked = [outcome.check for outcome in report.outcomes if outcome.status == "passed"]
    assert asked == ["builds", "runs"]
    causes = {outcome.cause for outcome in report.outcomes if outcome.status == "not run"}
    assert causes == {f"{NAME} failed"}
