"""Fills a trunk or a whole model from a checkpoint: finds the names, adapts, loads."""

from __future__ import annotations

import logging
from dataclasses import replace
from fnmatch import fnmatchcase
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
from fusionkit.tensors.source import open_source
from fusionkit.tensors.state import state_of

__all__ = [
    "fill_module",
    "fill_trunk",
    "fits_trunk",
    "note_source",
    "refuse_pickle",
]

PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pth.tar")
LOG = logging.getLogger("fusionkit.weights")


def fill_trunk(backbone: Backbone, weights: Weights, *, fresh: bool) -> LoadReport:
    """Loads a checkpoint into a backbone's trunk, under the provider's own names.

    Args:
        backbone: what is filled; its first layers are adapted to other channel counts.
        weights: from where, and which exceptions are allowed.
        fresh: whether nobody else has the backbone yet, so that the trunk may take the file's
            tensors as its memory.

    Raises:
        CheckpointError: there is no such checkpoint, or it does not fit; says under which names
            it nearly would.
    """
    try:
        report = _fill(trunk_of(backbone), weights, backbone, fresh=fresh)
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


def fits_trunk(backbone: Backbone, weights: Weights) -> bool:
    """Tells whether ``fill_trunk`` would find nothing wrong, as far as headers tell."""
    report = _report(backbone, weights)
    return report is not None and not report.problems()


def find_classifier(backbone: Backbone, weights: Weights) -> Weights | None:
    """Gives the weights as they are to be taken where something besides the trunk is in them.

    Args:
        backbone: without a classifier.
        weights: what stands before the trunk's names there stands before a classifier's too, or
            nothing does.
    """
    report = _report(backbone, weights)
    if report is None:
        return None
    left_over = [
        name
        for name in (*report.ignored, *report.unexpected)
        if not any(fnmatchcase(name, glob) for glob in weights.ignore)
    ]
    return replace(weights, rename=report.renamed) if left_over else None


def _report(backbone: Backbone, weights: Weights) -> LoadReport | None:
    """Says what ``fill_trunk`` would do; nothing where it would raise an error first."""
    try:
        source = open_source(_locate(weights))
        return LoadPlan(source, state_of(trunk_of(backbone)), weights, backbone).report
    except CheckpointError:
        return None


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
        return _fill(module, weights, None, fresh=False)
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
    backbone: Backbone | None,
    *,
    fresh: bool,
) -> LoadReport:
    source = open_source(_locate(weights))
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


def _locate(weights: Weights) -> Path:
    source = str(weights.source)
    return fetch(source.removeprefix(HUB)) if source.startswith(HUB) else Path(source)
