"""Fills a trunk or a whole model from a checkpoint: finds the names, adapts, loads."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from torch import nn

from fusionkit.assembly.hub import fetch
from fusionkit.assembly.load_plan import LoadPlan, MisfitError
from fusionkit.assembly.whole_folder import name_of_whole
from fusionkit.backbone.contract import Backbone
from fusionkit.errors import CheckpointError, ConfigError
from fusionkit.model.anatomy import trunk_of
from fusionkit.recipe.weights import HUB, Weights
from fusionkit.saved.manifest import checksums_beside
from fusionkit.tensors.finite import KnownFinite
from fusionkit.tensors.match import load_tensors
from fusionkit.tensors.report import LoadReport
from fusionkit.tensors.source import TensorSource, open_source
from fusionkit.tensors.state import state_of

__all__ = ["fill_module", "fill_trunk", "note_source", "open_weights", "refuse_pickle"]

PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pth.tar")
LOG = logging.getLogger("fusionkit.weights")


def open_weights(weights: Weights) -> TensorSource:
    """Finds a checkpoint, and reads its headers.

    Raises:
        CheckpointError: there is no such checkpoint.
    """
    source = str(weights.source)
    hub = source.startswith(HUB)
    return open_source(fetch(source.removeprefix(HUB)) if hub else Path(source))


def fill_trunk(
    backbone: Backbone, weights: Weights, *, fresh: bool, opened: TensorSource | None = None
) -> LoadReport:
    """Loads a checkpoint into a backbone's trunk, under the provider's own names.

    Args:
        backbone: what is filled; its first layers are adapted to other channel counts.
        weights: from where, and which exceptions are allowed.
        fresh: whether nobody else has the backbone yet, so that the trunk may take the file's
            tensors as its memory.
        opened: the checkpoint, if ``open_weights`` has opened it already.

    Raises:
        CheckpointError: there is no such checkpoint, or it does not fit; says under which names
            it nearly would.
    """
    opened = opened or open_weights(weights)
    try:
        report = _fill(trunk_of(backbone), weights, opened, backbone, fresh=fresh)
    except MisfitError as error:
        if name := name_of_whole(weights):
            raise CheckpointError(
                f"{error}. As a whole, with its config.json, this folder is Branch({name!r})"
            ) from error
        raise CheckpointError(
            f"{error}. A weights file holds the trunk's own names, as its provider saves them; "
            "exceptions are named in Weights(..., ignore=[...], missing=[...], resize=[...])"
        ) from error
    note_source(backbone, weights, report)
    return report


def fill_module(module: nn.Module, weights: Weights) -> LoadReport:
    """Loads a checkpoint into a whole module, under its own names.

    Args:
        module: what is filled.
        weights: from where, and which exceptions are allowed.

    Raises:
        CheckpointError: there is no such checkpoint, or it does not fit; says under which names
            it nearly would.
    """
    try:
        return _fill(module, weights, open_weights(weights), None, fresh=False)
    except MisfitError as error:
        raise CheckpointError(
            f"{error}. Exceptions are named in Weights(..., ignore=[...], missing=[...], "
            "resize=[...])"
        ) from error


def note_source(backbone: Backbone, weights: Weights, report: LoadReport) -> None:
    """Writes down in a backbone what it was filled from."""
    source = str(weights.source)
    backbone.weights = source.replace("\\", "/").rstrip("/").rpartition("/")[2]
    backbone.license = None
    on_hub = source.startswith(HUB)
    backbone.base_model = source.removeprefix(HUB).partition("@")[0] if on_hub else None
    backbone.load_report = report


def refuse_pickle(source: str) -> None:
    """Refuses a file that may run code when it is opened, by its name.

    Raises:
        ConfigError: says how it is converted.
    """
    if source.lower().endswith(PICKLES):
        raise ConfigError(
            f"weights={source!r} is not read: such a file may run code when it is opened; "
            f"convert it once, with `fusionkit checkpoint convert {source}`, and give that file"
        )


def _fill(
    module: nn.Module,
    weights: Weights,
    source: TensorSource,
    backbone: Backbone | None,
    *,
    fresh: bool,
) -> LoadReport:
    targets = state_of(module)
    plan = LoadPlan(source, targets, weights, backbone)
    plan.refuse_misfit()
    finite = KnownFinite()
    checksums = checksums_beside(source.path)
    read = source.read(weights.sha256, checksums, finite, maps=weights.mmap)
    tensors, changed = plan.take(read)
    report = load_tensors(
        module,
        tensors,
        str(weights.source),
        ignore=plan.ignored,
        missing=weights.missing,
        adopt=fresh,
        finite=finite,
        targets=targets,
    )
    report = replace(report, **changed)
    LOG.info("%s", report)
    return report
