"""Which modules train and which are still, from which parameters learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from fusionkit.backbone.contract import Backbone
from fusionkit.model.anatomy import trunk_of
from fusionkit.model.part import Part

__all__ = ["apply_modes", "minds_its_mode", "plan_modes"]

INDIFFERENT = frozenset(
    {
        *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.Embedding, nn.LayerNorm, nn.GroupNorm),
        *(nn.Identity, nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.Flatten),
        *(nn.ReLU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Hardswish, nn.Hardsigmoid),
        *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
    }
)
"""Types whose forward pass is the same in both modes, so that nobody needs to watch them."""


@dataclass(frozen=True, slots=True)
class _Below:
    """What lies at and below one module: counts of parameters, and the stages they are in."""

    own: int
    total: int
    learning: int
    stages: frozenset[int]


def plan_modes(backbone: Backbone, part: Part, learning: frozenset[str]) -> dict[nn.Module, bool]:
    """Gives for every module of a backbone whether it trains, from the outside to the inside.

    A module that only has parameters of its own trains when all of them learn, so that a norm
    layer with one frozen parameter keeps its statistics. A module with parts trains when any of
    them learns; one that spans several stages, when all of these learn, since what it does by
    itself (a functional dropout) might happen in a frozen one. A module without parameters, such
    as a dropout, goes with the stage whose block names it, else with the part it stands in: its
    parent's, or, where the parent spans several stages, the one before it. A module that stands
    in several places is still if it is still in one of them.
    """
    freeze = part.branch.freeze
    stage_of = {slot.name: slot.stage for slot in part.anatomy.slots}
    awake = {stage_of[name] for name in learning}
    asleep = {stage_of[name] for name in part.learnable} - awake
    places = {
        id(parameter): (stage_of[name], name in learning)
        for name, parameter in trunk_of(backbone).named_parameters()
    }
    homes = _homes(backbone)
    below: dict[nn.Module, _Below] = {}
    _survey(backbone, places, below)
    trains: dict[nn.Module, bool] = {}

    def visit(module: nn.Module, train: bool) -> None:
        counts = getattr(module, "running_mean", None) is not None
        if freeze.norm == "eval" and counts:
            train = False
        if freeze.dropout == "eval" and not below[module].total and not counts:
            train = False
        trains[module] = train and trains.get(module, True)
        before = min(below[module].stages, default=0)
        for child in module.children():
            facts = below[child]
            if facts.total:
                visit(child, _trains(facts, asleep))
                before = max(facts.stages)
            elif child in homes:
                visit(child, homes[child] in awake)
            else:
                visit(child, before in awake if len(below[module].stages) > 1 else train)

    visit(backbone, bool(learning) and _trains(below[backbone], asleep))
    return trains


def apply_modes(trains: Mapping[nn.Module, bool]) -> None:
    """Puts every module into its mode; twice, as one that stands in two places is passed twice."""
    for _ in range(2):
        for module, train in trains.items():
            if module.training != train:
                module.train(train)


def _trains(facts: _Below, asleep: set[int]) -> bool:
    if facts.own == facts.total:
        return facts.learning == facts.total
    if len(facts.stages) > 1 and facts.stages & asleep:
        return False
    return facts.learning > 0


def minds_its_mode(module: nn.Module) -> bool:
    """Tells whether a module's forward pass depends on its mode, as far as is known."""
    return type(module) not in INDIFFERENT or bool(module._forward_pre_hooks)


def _homes(backbone: Backbone) -> dict[nn.Module, int]:
    """Gives the stage of each module that a block names, or that lies below one."""
    modules = dict(trunk_of(backbone).named_modules(remove_duplicate=False))
    homes: dict[nn.Module, int] = {}
    for index, stage in enumerate(backbone.stages):
        for path in (path for block in stage.blocks for path in block if path in modules):
            for module in modules[path].modules():
                homes[module] = min(index, homes.get(module, index))
    return homes


def _survey(
    module: nn.Module,
    places: Mapping[int, tuple[int, bool]],
    below: dict[nn.Module, _Below],
) -> _Below:
    """Counts parameters, and those that learn, at and below every module."""
    if module in below:
        return below[module]
    own = [places[id(value)] for value in set(module._parameters.values()) if value is not None]
    stages = {stage for stage, _ in own}
    total, count = len(own), sum(learns for _, learns in own)
    for child in module.children():
        facts = _survey(child, places, below)
        total += facts.total
        count += facts.learning
        stages |= facts.stages
    below[module] = _Below(len(own), total, count, frozenset(stages))
    return below[module]
