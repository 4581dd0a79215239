"""Fills a branch's trunk from a checkpoint: finds the names, adapts what was asked for, loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from torch import Tensor, nn

from fusionkit.assembly.hub import fetch
from fusionkit.backbone.channels import adapt_input_channels
from fusionkit.backbone.contract import Backbone
from fusionkit.errors import CheckpointError
from fusionkit.model.anatomy import trunk_of
from fusionkit.recipe.weights import HUB, Weights
from fusionkit.tensors.match import load_tensors
from fusionkit.tensors.renaming import explain_renaming, find_renamings, rename
from fusionkit.tensors.report import LoadReport
from fusionkit.tensors.resize import resize_tensor
from fusionkit.tensors.source import TensorSource, open_source
from fusionkit.tensors.state import state_of

__all__ = ["fill_trunk"]

RGB = 3


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
    source = open_source(_locate(weights))
    title = str(weights.source)
    trunk = trunk_of(backbone)
    prefixes = _prefixes(source, trunk, backbone, weights)
    tensors = _renamed(source.read(weights.sha256), prefixes, title)
    adapted = _adapt_channels(tensors, backbone)
    resized = _resize(tensors, trunk, weights.resize)
    try:
        report = load_tensors(
            trunk,
            tensors,
            title,
            ignore=(*backbone.dropped_keys, *weights.ignore),
            missing=weights.missing,
            adopt=fresh,
        )
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}. A weights file holds the trunk's own names, as its provider saves them; "
            "exceptions are named in Weights(..., ignore=[...], missing=[...])"
        ) from error
    backbone.weights = title.replace("\\", "/").rpartition("/")[2]
    return replace(report, renamed=prefixes, adapted=adapted, resized=resized)


def _locate(weights: Weights) -> Path:
    source = str(weights.source)
    return fetch(source.removeprefix(HUB)) if source.startswith(HUB) else Path(source)


def _prefixes(
    source: TensorSource, trunk: nn.Module, backbone: Backbone, weights: Weights
) -> dict[str, str]:
    """Gives what takes the place of the beginning of the file's names."""
    if weights.rename is not None:
        return dict(weights.rename)
    flexible = (*backbone.first_layers, *weights.missing, *weights.resize)
    first_names = {id(value): name for name, value in reversed(state_of(trunk).items())}
    ours = {
        name: tuple(value.shape)
        for name, value in state_of(trunk).items()
        if first_names[id(value)] == name and not any(fnmatchcase(name, glob) for glob in flexible)
    }
    theirs = {name: entry.shape for name, entry in source.entries.items()}
    found = find_renamings(theirs, ours)
    if len(found) > 1:
        ways = " or ".join(f"rename={each.as_prefixes()!r}" for each in found[:3])
        raise CheckpointError(
            f"{weights.source} holds more than one set of the branch's tensors; say which with "
            f"Weights({str(weights.source)!r}, {ways})"
        )
    if not found:
        hint = explain_renaming(theirs, ours)
        if hint:
            raise CheckpointError(f"{weights.source} does not fit: {hint}")
        return {}
    return found[0].as_prefixes()


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
    tensors: dict[str, Tensor], trunk: nn.Module, globs: tuple[str, ...]
) -> tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]:
    resized = []
    for name, target in state_of(trunk).items() if globs else ():
        value = tensors.get(name)
        if value is None or value.shape == target.shape:
            continue
        if any(fnmatchcase(name, glob) for glob in globs):
            tensors[name] = resize_tensor(name, value, tuple(target.shape))
            resized.append((name, tuple(value.shape), tuple(target.shape)))
    return tuple(resized)
