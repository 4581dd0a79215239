"""Tells to which stages each module of a branch belongs, by what the backbone declares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from fusionkit.backbone.contract import Backbone
from fusionkit.model.anatomy import trunk_of
from fusionkit.model.fused import FusedModel
from fusionkit.testing.backbones.statistics import moves_statistics

__all__ = ["BRANCH", "Place", "backbone_of", "places_of"]

BRANCH = "a"
"""What the only branch of a model under test is called."""


@dataclass(frozen=True, slots=True)
class Place:
    """One module of the trunk.

    Attributes:
        path: where it is in the trunk.
        module: itself.
        parameters: the names of all parameters at and below it.
        stages: of its parameters; without any, the stages whose blocks it is in.
    """

    path: str
    module: nn.Module
    parameters: frozenset[str]
    stages: frozenset[int]

    def is_frozen(self, awake: frozenset[int]) -> bool:
        """Tells whether all of it is in stages of which nothing learns."""
        return bool(self.stages) and not self.stages & awake

    @property
    def is_homeless_noise(self) -> bool:
        """Tells whether it is a dropout, by its class's name, or moves statistics, in no stage."""
        drops = "drop" in type(self.module).__name__.lower()
        return not self.stages and (drops or moves_statistics(self.module))

    def learns(self, learning: frozenset[str]) -> bool:
        """Tells whether it has parameters and all of them learn."""
        return bool(self.parameters) and self.parameters <= learning


def backbone_of(model: FusedModel, branch: str = BRANCH) -> Backbone:
    """Gives the backbone of one branch."""
    backbone = model.branches[branch]
    assert isinstance(backbone, Backbone)
    return backbone


def places_of(model: FusedModel) -> list[Place]:
    """Gives every module of the trunk once, from the outside to the inside."""
    backbone = backbone_of(model)
    trunk = trunk_of(backbone)
    stage_of = {slot.name: slot.stage for slot in model.parts[BRANCH].anatomy.slots}
    names = {id(value): name for name, value in trunk.named_parameters()}
    homes = _homes(backbone)
    places = []
    for path, module in trunk.named_modules():
        parameters = frozenset(names[id(value)] for value in module.parameters())
        stages = frozenset(stage_of[name] for name in parameters)
        places.append(Place(path, module, parameters, stages or homes.get(module, frozenset())))
    return places


def _homes(backbone: Backbone) -> dict[nn.Module, frozenset[int]]:
    homes: dict[nn.Module, frozenset[int]] = {}
    for index, module in _named(backbone):
        homes[module] = homes.get(module, frozenset()) | {index}
    return homes


def _named(backbone: Backbone) -> Iterator[tuple[int, nn.Module]]:
    """Gives each module that a block names, and all below it, with the index of its stage."""
    modules = dict(trunk_of(backbone).named_modules(remove_duplicate=False))
    for index, stage in enumerate(backbone.stages):
        for path in (path for block in stage.blocks for path in block if path in modules):
            for module in modules[path].modules():
                yield index, module
