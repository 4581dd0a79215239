"""``load_weights``: a checkpoint into a model that is there already."""

from __future__ import annotations

from os import PathLike, fspath

from torch import nn

from fusionkit.assembly.weights import fill_module, fill_trunk, note_source, refuse_pickle
from fusionkit.checkpoint.config import backbone_of
from fusionkit.errors import CheckpointError, ConfigError, did_you_mean
from fusionkit.model.anatomy import trunk_of
from fusionkit.model.fused import FusedModel
from fusionkit.recipe.weights import HUB, Weights
from fusionkit.tensors.report import LoadReport
from fusionkit.tensors.source import open_source

__all__ = ["load_weights"]


def load_weights(
    model: FusedModel, source: str | PathLike[str] | Weights, branch: str | None = None
) -> LoadReport:
    """Loads a checkpoint into a model or one of its branches, strictly, and says what became of it.

    The parameters stay the objects that they are, also frozen ones, so that an optimizer made
    before goes on with them. Where anything does not fit, the model is left as it was.

    Args:
        model: as ``compose`` or ``load`` gave it.
        source: the path of a safetensors file, index or folder, ``"hf-hub:owner/name"``, or
            ``Weights`` where exceptions are to be allowed by name.
        branch: loads this branch's trunk under its provider's names; ``None`` loads the whole
            model under its own. Words that a trainer put before the names are found by evidence.

    Returns:
        The report, which ``model.load_reports`` keeps for each branch that was filled.

    Raises:
        ConfigError: there is no such branch, or the file may run code when it is opened.
        CheckpointError: there is no such checkpoint, or it does not fit.
    """
    if not isinstance(model, FusedModel):
        raise ConfigError(_not_a_model(model))
    weights = source if isinstance(source, Weights) else Weights(source)
    refuse_pickle(fspath(weights.source))
    if branch is None:
        report = _fill_all(model, weights)
    elif branch in model.parts:
        report = fill_trunk(backbone_of(model, branch), weights, fresh=False)
    else:
        known = ", ".join(repr(name) for name in model.parts)
        raise ConfigError(
            f"the model has no branch {branch!r:.80}.{did_you_mean(str(branch), model.parts)} "
            f"It has {known}; without `branch` the whole model is loaded"
        )
    return report


def _fill_all(model: FusedModel, weights: Weights) -> LoadReport:
    try:
        report = fill_module(model, weights)
    except CheckpointError as error:
        raise CheckpointError(f"{error}{_hint(model, weights)}") from error
    for name in model.parts:
        note_source(backbone_of(model, name), weights, report)
    return report


def _hint(model: FusedModel, weights: Weights) -> str:
    """Says which branches a file would fill, where it does not fill the model."""
    if fspath(weights.source).startswith(HUB):
        return ""
    try:
        names = set(open_source(fspath(weights.source)).entries)
    except CheckpointError:
        return ""
    fitting = [
        name
        for name in model.parts
        if names.issuperset(trunk_of(backbone_of(model, name)).state_dict())
    ]
    if not fitting:
        return ""
    return f". It has all names of a branch: load_weights(model, ..., branch={fitting[0]!r})"


def _not_a_model(model: object) -> str:
    said = f"load_weights takes a FusedModel, as compose gives it; got {type(model).__name__}"
    if isinstance(model, nn.Module):
        for wrapped in ("_orig_mod", "module"):
            if isinstance(getattr(model, wrapped, None), FusedModel):
                return f"{said}; write load_weights(model.{wrapped}, ...) for the model inside"
    return said
