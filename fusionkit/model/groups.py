"""Parameter groups: every parameter in exactly one, from the first step on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from fusionkit.errors import AssemblyError, PolicyError
from fusionkit.model.anatomy import check_unchanged, is_norm, takes_decay, trunk_of
from fusionkit.model.part import Part
from fusionkit.policy.slots import Slot

if TYPE_CHECKING:
    from fusionkit.backbone.contract import Backbone

__all__ = ["build_groups", "group_stages"]


def build_groups(
    model: nn.Module,
    backbones: Mapping[str, Backbone],
    parts: Mapping[str, Part],
    head: nn.Module,
    *,
    lr: float,
    weight_decay: float,
) -> list[dict[str, Any]]:
    """Gives groups named ``branch/stage/decay`` (or ``no_decay``), frozen parameters included.

    Raises:
        PolicyError: ``lr`` or ``weight_decay`` is no finite, non-negative number.
        AssemblyError: a parameter is in no group or in two.
    """
    for name, value in (("lr", lr), ("weight_decay", weight_decay)):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value < math.inf:
            raise PolicyError(
                f"param_groups: {name} must be a number, zero or positive, got {value!r:.80}"
            )
    groups: dict[str, dict[str, Any]] = {}
    for name, part in parts.items():
        check_unchanged(name, trunk_of(backbones[name]), part.anatomy)
        trunk = dict(trunk_of(backbones[name]).named_parameters())
        decay = part.branch.lr.weight_decay
        for slot in part.anatomy.slots:
            group = _group(groups, _place(name, part, slot), slot.decays, lr * part.rate(slot))
            if slot.decays:
                group["weight_decay"] = weight_decay if decay is None else decay
            group["params"].append(trunk[slot.name])
    seen: set[int] = set()
    for path, module in head.named_modules():
        for leaf, parameter in module.named_parameters(path, recurse=False):
            if id(parameter) in seen:  # tied
                continue
            seen.add(id(parameter))
            decays = takes_decay(leaf.rpartition(".")[2], parameter, is_norm(module))
            group = _group(groups, "head", decays, lr)
            if decays:
                group["weight_decay"] = weight_decay
            group["params"].append(parameter)
    _audit(model, groups)
    return list(groups.values())


def group_stages(parts: Mapping[str, Part]) -> dict[str, tuple[str, int]]:
    """Gives branch and stage index for each group name that belongs to a branch."""
    places = {}
    for name, part in parts.items():
        for slot in part.anatomy.slots:
            for decays in (True, False):
                places[_named(_place(name, part, slot), decays)] = (name, slot.stage)
    return places


def _place(branch: str, part: Part, slot: Slot) -> str:
    block = f"/{slot.block}" if part.branch.lr.by == "block" else ""
    return f"{branch}/{part.anatomy.stages[slot.stage]}{block}"


def _named(place: str, decays: bool) -> str:
    return f"{place}/{'decay' if decays else 'no_decay'}"


def _group(
    groups: dict[str, dict[str, Any]], place: str, decays: bool, lr: float
) -> dict[str, Any]:
    name = _named(place, decays)
    return groups.setdefault(name, {"name": name, "params": [], "lr": lr, "weight_decay": 0.0})


def _audit(model: nn.Module, groups: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses parameters that no optimizer would see, or that one would see twice."""
    homes: dict[int, list[str]] = {}
    for group_name, group in groups.items():
        for parameter in group["params"]:
            homes.setdefault(id(parameter), []).append(group_name)
    for name, parameter in model.named_parameters():
        found = homes.pop(id(parameter), [])
        if not found:
            raise AssemblyError(
                f"parameter {name!r} is in no group, so no optimizer would move it; a model is "
                "changed by composing it anew, not by adding modules to it"
            )
        if len(found) > 1:
            raise AssemblyError(f"parameter {name!r} is in two groups: {' and '.join(found)}")
    if homes:
        strays = sorted({group for found in homes.values() for group in found})
        raise AssemblyError(f"group {strays[0]!r} holds a parameter that the model does not")
