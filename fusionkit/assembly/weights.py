"""Fills a trunk or a whole model from a checkpoint: finds the names, adapts, loads."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Tensor, nn

from fusionkit.assembly.hub import fetch
from fusionkit.backbone.channels import adapt_input_channels
from fusionkit.backbone.contract import Backbone
from fusionkit.errors import CheckpointError, ConfigError
from fusionkit.model.anatomy import trunk_of
from fusionkit.recipe.weights import HUB, Weights
from fusionkit.saved.manifest import checksums_beside
from fusionkit.tensors.dtypes import DTYPES
from fusionkit.tensors.finite import KnownFinite
from fusionkit.tensors.match import load_tensors, plan_load
from fusionkit.tensors.renaming import explain_renaming, find_renamings, rename
from fusionkit.tensors.report import LoadReport
from fusionkit.tensors.resize import resize_tensor
from fusionkit.tensors.source import TensorSource, open_source
from fusionkit.tensors.state import state_of

__all__ = [
    "fill_module",
    "fill_trunk",
    "note_source",
    "plan_trunk",
    "refuse_pickle",
    "wanted_shapes",
]

RGB = 3
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
    except _MisfitError as error:
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
        return _fill(module, weights, None, fresh=False)
    except _MisfitError as error:
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


def plan_trunk(backbone: Backbone, source: TensorSource, weights: Weights) -> LoadReport:
    """Says what ``fill_trunk`` would do, from headers alone; the backbone may be on no device.

    Raises:
        CheckpointError: it is not clear which of a file's tensors are meant.
    """
    trunk = trunk_of(backbone)
    targets = dict(trunk.state_dict(keep_vars=True))
    entries = {
        name: torch.empty(entry.shape, dtype=DTYPES[entry.dtype], device="meta")
        for name, entry in source.entries.items()
    }
    ignored = (*backbone.dropped_keys, *weights.ignore)
    prefixes = _prefixes(source, targets, backbone.first_layers, weights)
    tensors = _renamed(entries, prefixes, str(weights.source))
    adapted = _adapt_channels(tensors, backbone)
    report = plan_load(targets, tensors, str(weights.source), ignored, weights.missing)
    return replace(report, renamed=prefixes, adapted=adapted)


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


class _MisfitError(CheckpointError):
    """The tensors were found, but do not fit."""


def _fill(
    module: nn.Module,
    weights: Weights,
    backbone: Backbone | None,
    *,
    fresh: bool,
) -> LoadReport:
    source = open_source(_locate(weights))
    title = str(weights.source)
    first_layers = () if backbone is None else backbone.first_layers
    targets = state_of(module)
    prefixes = _prefixes(source, targets, first_layers, weights)
    finite = KnownFinite()
    checksums = checksums_beside(source.path)
    read = source.read(weights.sha256, checksums, finite, maps=weights.mmap)
    tensors = _renamed(read, prefixes, title)
    adapted = () if backbone is None else _adapt_channels(tensors, backbone)
    resized = _resize(tensors, targets, weights.resize)
    dropped = () if backbone is None else backbone.dropped_keys
    try:
        report = load_tensors(
            module,
            tensors,
            title,
            ignore=(*dropped, *weights.ignore),
            missing=weights.missing,
            adopt=fresh,
            finite=finite,
            targets=targets,
        )
    except CheckpointError as error:
        raise _MisfitError(str(error)) from error
    report = replace(report, renamed=prefixes, adapted=adapted, resized=resized)
    LOG.info("%s", report)
    return report


def _locate(weights: Weights) -> Path:
    source = str(weights.source)
    return fetch(source.removeprefix(HUB)) if source.startswith(HUB) else Path(source)


def _prefixes(
    source: TensorSource,
    targets: Mapping[str, Tensor],
    first_layers: tuple[str, ...],
    weights: Weights,
) -> dict[str, str]:
    """Gives what takes the place of the beginning of the file's names."""
    if weights.rename is not None:
        return dict(weights.rename)
    ours = wanted_shapes(targets, (*first_layers, *weights.missing, *weights.resize))
    theirs = {name: entry.shape for name, entry in source.entries.items()}
    found = find_renamings(theirs, ours)
    if len(found) > 1:
        ways = " or ".join(f"rename={each.as_prefixes()!r}" for each in found[:3])
        raise CheckpointError(
            f"{weights.source} holds more than one set of these tensors; say which with "
            f"Weights({str(weights.source)!r}, {ways})"
        )
    if not found:
        hint = explain_renaming(theirs, ours)
        if hint:
            raise CheckpointError(f"{weights.source} does not fit: {hint}")
        return {}
    return found[0].as_prefixes()


def wanted_shapes(
    targets: Mapping[str, Tensor], flexible: tuple[str, ...]
) -> dict[str, tuple[int, ...]]:
    """Gives the shapes that a file must have: not of tied tensors' further names.

    Args:
        targets: the module's tensors by name; tied ones are one object.
        flexible: globs over names whose shapes may differ.
    """
    first_names = {id(value): name for name, value in reversed(list(targets.items()))}
    return {
        name: tuple(value.shape)
        for name, value in targets.items()
        if first_names[id(value)] == name and not any(fnmatchcase(name, glob) for glob in flexible)
    }


def _renamed(
    tensors: dict[str, Tensor], prefixes: Mapping[str, str], source: str
) -> dict[str, Tensor]:
    new = rename(list(tensors), prefixes)
    renamed: dict[str, Tensor] = {}
    for old, name in new.items():
        if name in renamed:
            twins = [each for each, to in new.items() if to == name]
            raise CheckpointError(
                f"{source}: {twins[0]!r:.200} and {twins[1]!r:.200} would both be {name!r:.200}; "
                "rename more of them"
            )
        renamed[name] = tensors.pop(old)
    return renamed


def _adapt_channels(
    tensors: dict[str, Tensor], backbone: Backbone
) -> tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]:
    adapted = []
    for name in backbone.first_layers:
        value = tensors.get(name)
        if value is None or value.ndim < 2 or value.shape[1] != RGB or backbone.in_channels == RGB:
            continue
        tensors[name] = adapt_input_channels(value, backbone.in_channels)
        adapted.append((name, tuple(value.shape), tuple(tensors[name].shape)))
    return tuple(adapted)


def _resize(
    tensors: dict[str, Tensor], targets: Mapping[str, Tensor], globs: tuple[str, ...]
) -> tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]:
    resized = []
    for name, target in targets.items() if globs else ():
        value = tensors.get(name)
        if value is None or value.shape == target.shape:
            continue
        if any(fnmatchcase(name, glob) for glob in globs):
            tensors[name] = resize_tensor(name, value, tuple(target.shape))
            resized.append((name, tuple(value.shape), tuple(target.shape)))
    return tuple(resized)
