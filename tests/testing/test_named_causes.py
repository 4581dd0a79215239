"""What many checks stumble over is told by its cause, with what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from sound_backbone import Sound, factory
from torch import Tensor, nn

import fusionkit as fk
import fusionkit.testing as kit


class Whole(Sound):
    """The sound one, which says too what it drops of a checkpoint."""

    dropped_keys = ("fc.*",)


class CompilesItsStem(Whole):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.stem = torch.compile(self.stem, backend="eager")


class CompilesItsPool(Whole):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.pool = torch.compile(self.pool, backend="eager")


class CompilesInPlace(Whole):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.stem.compile(backend="eager")


def in_doubles(*, in_channels: int = 3, num_classes: int | None = None) -> fk.Backbone:
    torch.set_default_dtype(torch.float64)
    return Whole(in_channels, num_classes)


class AlwaysTrains(Whole):
    def train(self, mode: bool = True) -> AlwaysTrains:
        return super().train(True)


class NeverTrains(Whole):
    def train(self, mode: bool = True) -> NeverTrains:
        return super().train(False)


class HooksItself(Whole):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)

        def scale(module: nn.Module, given: Any, answer: Tensor) -> Tensor:
            return answer * self.top.weight[0, 0]

        self.stem.register_forward_hook(scale)


class PlacesLast(Whole):
    """Adds places behind its stem, and lists them with its top."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.places = nn.Parameter(torch.randn(1, 8, 1, 1))
        stem, body, _, *more = self.stages
        self.stages = (stem, body, fk.Stage("top", ("top", "places")), *more)

    def trunk(self, x: Tensor) -> list[Tensor]:
        maps = [self.stem(x) + self.places]
        for layer in self.body:
            maps.append(layer(maps[-1]))
        return maps


@dataclass(frozen=True)
class Cause:
    """A fault that many checks stumble over.

    Attributes:
        make: the factory.
        check: the name of the check that must tell it.
        says: a part of what it says.
        todo: a part of what to do.
        also: checks that fail too.
    """

    make: Callable[..., fk.Backbone]
    check: str
    says: str
    todo: str
    also: frozenset[str] = field(default=frozenset())


CAUSES = {
    "a compiled child": Cause(
        factory(CompilesItsStem), "builds", "it compiles stem when", "leave torch.compile to"
    ),
    "a compiled method": Cause(
        factory(CompilesItsPool), "builds", "it compiles itself when", "leave torch.compile to"
    ),
    "compiled in place": Cause(
        factory(CompilesInPlace), "builds", "it compiles stem when", "leave torch.compile to"
    ),
    "another default dtype": Cause(
        in_doubles, "runs", "changes torch's default dtype, from torch.float32", "give layers dtype"
    ),
    "always in train mode": Cause(
        factory(AlwaysTrains),
        "eval_is_deterministic",
        "after eval() itself, stem, stem.0, stem.1, stem.2, ... are still in train mode",
        "let train(mode) hand its argument to super().train(mode)",
        frozenset({"modes_follow_the_policy"}),
    ),
    "never in train mode": Cause(
        factory(NeverTrains),
        "modes_follow_the_policy",
        "1 modules that are what learns are in eval mode: the trunk",
        "let train(mode) hand its argument to super().train(mode)",
    ),
    "a hook on itself": Cause(
        factory(HooksItself),
        "deepcopy_is_independent",
        "after its original was emptied",
        "keep no lambda, closure, bound method or hook with a reference to self",
        frozenset({"pickle_round_trip"}),
    ),
    "places in the last stage": Cause(
        factory(PlacesLast),
        "frozen_stages_compute_the_same",
        "beside the layers of the stages that learn stand places",
        "list a lone parameter, such as a position embedding or a token, in the stage that reads",
    ),
}


@pytest.mark.parametrize("name", CAUSES)
def test_the_cause_is_named(name: str) -> None:
    cause = CAUSES[name]
    report = kit.check_backbone(cause.make, on_fail="report")
    assert {each.check for each in report.failures} == {cause.check} | cause.also, str(report)
    (finding, *_) = report[cause.check].findings
    assert cause.says in finding.what
    assert cause.todo in finding.todo


def test_the_sound_one_passes() -> None:
    kit.check_backbone(factory(Whole))
