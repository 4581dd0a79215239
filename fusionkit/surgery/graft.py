"""Builds a model of another recipe around branches that another model has."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain

import torch

from fusionkit.assembly.compose import assemble
from fusionkit.backbone.contract import Backbone
from fusionkit.catalog import Catalog
from fusionkit.checkpoint.config import backbone_of
from fusionkit.errors import CheckpointError
from fusionkit.model.fused import FusedModel
from fusionkit.recipe.values import Recipe
from fusionkit.tensors.cast import cast_floats
from fusionkit.tensors.match import load_tensors
from fusionkit.tensors.state import state_of

__all__ = ["graft"]


def graft(
    model: FusedModel, recipe: Recipe, staying: Collection[str], catalog: Catalog
) -> tuple[FusedModel, tuple[str, ...]]:
    """Gives a new model, and the names of its tensors that it has from the old one.

    Branches that stay are built as ``load`` builds them, with nothing from outside, and filled;
    the others get the weights that the recipe says. The head is new. Device, type, epoch and
    mode are the old model's.

    Args:
        model: the old one.
        recipe: of the new one.
        staying: names of branches that both have.
        catalog: where names are looked up.
    """
    rebuilds = {
        name: rebuild
        for name in staying
        if (rebuild := backbone_of(model, name).rebuild) is not None
    }
    new = assemble(
        recipe, catalog, load_weights=recipe.branches.keys() - set(staying), rebuilds=rebuilds
    )
    floats = (
        p for p in chain(model.head.parameters(), model.parameters()) if p.is_floating_point()
    )
    like = next(floats, None)
    if like is not None:
        new.to(like.device, like.dtype)
    kept: list[str] = []
    for name in sorted(staying):
        try:
            carried = _carry(backbone_of(model, name), backbone_of(new, name))
        except CheckpointError as error:
            raise CheckpointError(
                f"branch {name!r} cannot be taken over: {error}; what its name "
                f"{recipe.branches[name].backbone!r} builds has changed since, or its values have"
            ) from error
        kept += (f"branches.{name}.{each}" for each in carried)
    thaws = {name: epochs for name, epochs in model.thaws.items() if name in staying}
    return new.train(model.training).set_epoch(model.epoch, thaws), tuple(kept)


def _carry(old: Backbone, new: Backbone) -> tuple[str, ...]:
    """Gives a backbone all values, types and facts of another, and says which names they share."""
    tensors = state_of(old)
    held = dict(chain(old.named_parameters(), old.named_buffers()))
    for value in held.values():
        new.to(value.device)
        break
    cast_floats(new, {name: value.dtype for name, value in held.items()})
    if old.num_classes is not None and new.num_classes is None:  # its classifier is left behind
        targets = state_of(new)
        tensors = {name: value for name, value in tensors.items() if name in targets}
    report = load_tensors(new, tensors, "what it was")
    with torch.no_grad():
        for name, buffer in new.named_buffers():
            if name not in tensors and name in held and held[name].shape == buffer.shape:
                buffer.copy_(held[name])  # not saved with a model, but a part of it
    new.weights, new.load_report = old.weights, old.load_report
    new.license, new.base_model = old.license, old.base_model
    return report.loaded
