"""Keeps what of a head still means the same when a branch comes, goes or is exchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from fusionkit.assembly.compose import build_head
from fusionkit.catalog import Catalog
from fusionkit.checkpoint.config import backbone_of
from fusionkit.errors import FusionKitError
from fusionkit.head import HeadInput
from fusionkit.model.fused import FusedModel
from fusionkit.tensors.state import state_of

__all__ = ["keep_head"]

Shapes = Mapping[str, tuple[int, ...]]


def keep_head(old: FusedModel, new: FusedModel, changed: str, catalog: Catalog) -> tuple[str, ...]:
    """Copies the head's tensors that belong to branches that stay, and gives their names.

    A tensor belongs to a branch if the branch's name is a word of its own name, as in
    ``scores.classifiers.rgb.linear.weight``, and no other branch that comes or goes is. Its
    shape must be the same, and must not depend on the width of the branch that is changed: where
    a branch takes the place of another of the same width, a layer that reads both would fit and
    yet mean something else. What belongs to no branch, or to all, is not kept.

    Args:
        old: the model that was.
        new: the model that it becomes.
        changed: the branch that comes, goes or is exchanged.
        catalog: where the head is found.
    """
    before, after = state_of(old.head), state_of(new.head)
    names = _kept_names(old, new, changed, catalog)
    with torch.no_grad():
        for name in names:
            after[name].copy_(before[name])
    return tuple(f"head.{name}" for name in names)


def _kept_names(old: FusedModel, new: FusedModel, changed: str, catalog: Catalog) -> list[str]:
    if old.recipe.head.name != new.recipe.head.name:
        return []
    before, after = _shapes(state_of(old.head)), _shapes(state_of(new.head))
    staying = (old.parts.keys() & new.parts.keys()) - {changed}
    names = [name for name in after if before.get(name) == after[name]]
    names = [name for name in names if set(name.split(".")) & staying]
    names = [name for name in names if changed not in name.split(".")]
    if not names or changed not in old.parts or changed not in new.parts:
        return names  # a branch more or less changes the shapes of all that reads it
    other = _shapes_without(new, changed, catalog)
    return [name for name in names if other.get(name) == after[name]]


def _shapes_without(model: FusedModel, changed: str, catalog: Catalog) -> Shapes:
    """Gives the head's shapes for another width of a branch, or else without it."""
    backbones = {name: backbone_of(model, name) for name in model.parts}
    inputs = {
        name: HeadInput(each.embed_dim, each.levels, each.num_classes)
        for name, each in backbones.items()
    }
    wide = replace(
        inputs[changed],
        embed_dim=2 * inputs[changed].embed_dim,
        levels=tuple(replace(each, channels=2 * each.channels) for each in inputs[changed].levels),
    )
    rest = {name: each for name, each in inputs.items() if name != changed}
    recipe = model.recipe
    assert recipe.num_classes is not None
    factory = catalog.head(recipe.head.name).factory
    for offered in ({**inputs, changed: wide}, rest):
        try:
            head = build_head(recipe.head, factory, offered, recipe.num_classes, catalog)
            return _shapes(state_of(head))
        except FusionKitError:  # not every head takes branches of unequal width, or fewer
            continue
    return {}


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}
