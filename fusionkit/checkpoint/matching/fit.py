"""``fit``: whether one architecture's trunk takes a file, and the branch to write for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from fusionkit.assembly.load_plan import plan_trunk, wanted_shapes
from fusionkit.assembly.weightless import build_weightless
from fusionkit.backbone.contract import Backbone
from fusionkit.backbone.cover import cover_parameters
from fusionkit.catalog import BackboneEntry
from fusionkit.errors import CheckpointError
from fusionkit.model.anatomy import trunk_of
from fusionkit.recipe.weights import Weights, is_source
from fusionkit.tensors.renaming import Renaming, find_renamings, nearest_renaming, rename
from fusionkit.tensors.report import LoadReport
from fusionkit.tensors.resize import resize_tensor
from fusionkit.tensors.source import TensorSource

__all__ = ["Fit", "fit"]

MOST_LACKING = 0.1
"""Of a trunk's values, how many may be missing where it still counts as the file's."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What became of the question.

    Attributes:
        name: ``provider/model``.
        report: what loading would do, with no exception allowed but the stock classifier.
        branch: the code of a ``Branch`` that loads it; empty where none can.
        exceptions: whether that branch allows exceptions.
        others: the other renamings under which all of the trunk's names are found.
    """

    name: str
    report: LoadReport
    branch: str
    exceptions: bool
    others: tuple[Renaming, ...] = ()

    @property
    def verdict(self) -> str:
        """In a few words."""
        if not self.branch:
            return "does not fit"
        return "fits with the exceptions named below" if self.exceptions else "fits"


def fit(entry: BackboneEntry, source: TensorSource, path: str) -> Fit:
    """Says what would become of each name, without loading anything.

    Args:
        entry: the architecture, which is built without memory for its parameters.
        source: the file.
        path: as the user wrote it.

    Raises:
        AssemblyError: the architecture cannot be built without weights.
    """
    backbone = build_weightless(entry)
    ways, report = _plan(backbone, source, path)
    channels = _channels(backbone, report)
    if channels is not None:
        backbone = build_weightless(entry, channels)
        ways, report = _plan(backbone, source, path)
    sizes = {name: each.numel() for name, each in trunk_of(backbone).state_dict().items()}
    exceptions = _exceptions(report, source, sizes)
    branch = ""
    if exceptions is not None:
        if len(ways) != 1:
            exceptions = {"rename": dict(report.renamed), **exceptions}
        branch = _branch(entry.name, path, exceptions, channels)
    return Fit(entry.name, report, branch, bool(exceptions), tuple(ways[1:]))


def _plan(backbone: Backbone, source: TensorSource, path: str) -> tuple[list[Renaming], LoadReport]:
    targets = dict(trunk_of(backbone).state_dict(keep_vars=True))
    ours = wanted_shapes(targets, backbone.first_layers)
    theirs = {name: entry.shape for name, entry in source.entries.items()}
    ways = find_renamings(theirs, ours)
    prefixes = ways[0].as_prefixes() if ways else nearest_renaming(theirs, ours)
    if len(set(rename(list(theirs), prefixes).values())) < len(theirs):
        prefixes = {}
    return ways, plan_trunk(backbone, source, Weights(path, rename=prefixes))


def _channels(backbone: Backbone, report: LoadReport) -> int | None:
    """Gives the channels of a file that differs in nothing but the first layers'."""
    wrong = [each for each in report.mismatched if each[0] in backbone.first_layers]
    counts = {theirs[1] for _, theirs, ours in wrong if theirs[:1] == ours[:1] and theirs[1:]}
    return counts.pop() if len(counts) == 1 and len(wrong) == len(report.mismatched) else None


def _exceptions(
    report: LoadReport, source: TensorSource, sizes: Mapping[str, int]
) -> dict[str, object] | None:
    """Gives the exceptions to allow, or ``None`` where too much would be left random."""
    lacking = sum(sizes[name] for name in report.missing)
    if lacking > MOST_LACKING * sum(sizes.values()) or not report.loaded:
        return None
    if not all(_resizable(*each) for each in report.mismatched):
        return None
    names = rename(list(source.entries), report.renamed).values()
    exceptions = {
        "ignore": _globs(report.unexpected, list(names)),
        "missing": _globs(report.missing, [*report.loaded, *report.missing, *report.kept]),
        "resize": [name for name, _, _ in report.mismatched],
    }
    return {option: globs for option, globs in exceptions.items() if globs}


def _resizable(name: str, theirs: tuple[int, ...], ours: tuple[int, ...]) -> bool:
    """Guesses from its name and its shapes that a tensor is a position embedding."""
    if "pos" not in name.lower():
        return False
    try:
        resize_tensor(name, torch.empty(theirs, device="meta"), ours)
    except CheckpointError:
        return False
    return True


def _globs(names: tuple[str, ...], everything: list[str]) -> list[str]:
    paths = cover_parameters(names, everything)
    return [path if path in everything else f"{path}.*" for path in paths]


def _branch(name: str, path: str, exceptions: Mapping[str, object], channels: int | None) -> str:
    said = "".join(f", {option}={value!r}" for option, value in exceptions.items())
    plain = not said and is_source(path)
    weights = repr(path) if plain else f"fk.Weights({path!r}{said})"
    more = "" if channels is None else f", in_channels={channels}"
    return f"fk.Branch({name!r}, weights={weights}{more})"
