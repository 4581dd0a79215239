"""``LoadPlan``: what becomes of a checkpoint's names and shapes, before its tensors are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from glob import escape
from typing import Any

import torch
from torch import Tensor

from fusionkit.backbone.channels import adapt_input_channels
from fusionkit.backbone.contract import Backbone
from fusionkit.errors import CheckpointError
from fusionkit.model.anatomy import trunk_of
from fusionkit.recipe.weights import Weights
from fusionkit.tensors.dtypes import DTYPES
from fusionkit.tensors.match import plan_load, refuse_misfit
from fusionkit.tensors.renaming import (
    Renaming,
    explain_renaming,
    find_renamings,
    is_classifier,
    rename,
)
from fusionkit.tensors.report import LoadReport
from fusionkit.tensors.resize import resize_tensor
from fusionkit.tensors.source import TensorSource

__all__ = ["LoadPlan", "MisfitError", "plan_trunk", "wanted_shapes"]

RGB = 3
MOST_CHOICES = 3


class MisfitError(CheckpointError):
    """The tensors were found, but do not fit."""


def plan_trunk(backbone: Backbone, source: TensorSource, weights: Weights) -> LoadReport:
    """Says what ``fill_trunk`` would do, from headers alone; the backbone may be on no device.

    Raises:
        CheckpointError: it is not clear which of a file's tensors are meant.
    """
    targets = dict(trunk_of(backbone).state_dict(keep_vars=True))
    return LoadPlan(source, targets, weights, backbone).report


class LoadPlan:
    """What becomes of a checkpoint's names and shapes, which its headers tell.

    Attributes:
        report: what would be loaded.
    """

    def __init__(
        self,
        source: TensorSource,
        targets: Mapping[str, Tensor],
        weights: Weights,
        backbone: Backbone | None,
    ) -> None:
        self._targets, self._weights, self._backbone = targets, weights, backbone
        self._title = str(weights.source)
        self.ignored = (*(() if backbone is None else backbone.dropped_keys), *weights.ignore)
        first_layers = () if backbone is None else backbone.first_layers
        self._theirs = {name: entry.shape for name, entry in source.entries.items()}
        flexible = (*first_layers, *weights.missing, *weights.resize)
        self._ours = wanted_shapes(targets, flexible)
        self._prefixes = self._find_prefixes()
        empty = {
            name: torch.empty(entry.shape, dtype=DTYPES[entry.dtype], device="meta")
            for name, entry in source.entries.items()
        }
        self._tensors, changed = self.take(empty)
        report = plan_load(targets, self._tensors, self._title, self.ignored, weights.missing)
        self.report = replace(report, **changed)

    def take(self, tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Gives tensors under our names and in our shapes, and what was done to them.

        Args:
            tensors: all of the checkpoint, with values or without; emptied on the way.
        """
        renamed = _renamed(tensors, self._prefixes, self._title)
        adapted = () if self._backbone is None else _adapt_channels(renamed, self._backbone)
        resized = _resize(renamed, self._targets, self._weights.resize)
        used = {old: new for old, new in self._prefixes.items() if self._is_used(old)}
        return renamed, {"renamed": used, "adapted": adapted, "resized": resized}

    def refuse_misfit(self) -> None:
        """Refuses what does not fit, before anything else of it is read."""
        try:
            refuse_misfit(self.report, self._targets, self._tensors)
        except CheckpointError as error:
            raise MisfitError(f"{error}{self._advise()}") from error

    def _is_used(self, beginning: str) -> bool:
        return any(name.startswith(beginning) for name in self._theirs)

    def _find_prefixes(self) -> dict[str, str]:
        """Gives what takes the place of the beginning of the file's names."""
        if self._weights.rename is not None:
            return dict(self._weights.rename)
        found = find_renamings(self._theirs, self._ours)
        if len(found) > 1:
            ways = " or ".join(self._choice(each, found) for each in found[:MOST_CHOICES])
            raise CheckpointError(
                f"{self._title} holds more than one set of these tensors; say which: {ways}"
            )
        if not found:
            hint = self._explain()
            if hint:
                raise CheckpointError(f"{self._title} does not fit: {hint}")
            return {}
        return found[0].as_prefixes()

    def _choice(self, one: Renaming, ways: Sequence[Renaming]) -> str:
        """Gives the code that takes one of several sets, and leaves the others."""
        others = sorted({each.strip for each in ways if each != one})
        ignore = [f"{escape(each)}*" for each in rename(others, one.as_prefixes()).values()]
        more = f", ignore={ignore!r}" if ignore else ""
        return f"Weights({self._title!r}, rename={one.as_prefixes()!r}{more})"

    def _explain(self) -> str:
        classes = None if self._backbone is None else self._backbone.num_classes
        return explain_renaming(self._theirs, self._ours, classes)

    def _advise(self) -> str:
        """Says what would fit instead, or gives an empty string."""
        if self._backbone is not None and (setting := _tell_mismatch(self.report, self._backbone)):
            return setting
        if not (self.report.missing or self.report.mismatched):
            return ""  # what is left over is not for want of a renaming
        said = ""
        unused = [old for old in self._weights.rename or () if not self._is_used(old)]
        if unused:
            said += f". No name in the file begins with {unused[0]!r:.120}"
        if self._weights.rename:
            found = find_renamings(self._theirs, self._ours)
            if len(found) == 1:
                said += f". With rename={found[0].as_prefixes()!r} all names are found"
            elif hint := self._explain():
                said += f". What is nearest: {hint}"
        return said


def wanted_shapes(
    targets: Mapping[str, Tensor], flexible: tuple[str, ...]
) -> dict[str, tuple[int, ...]]:
    """Gives the shapes that a file must have: not of tied tensors, which may have any name.

    Args:
        targets: the module's tensors by name; tied ones are one object.
        flexible: globs over names whose shapes may differ.
    """
    count = Counter(map(id, targets.values()))
    first = {id(value): name for name, value in reversed(list(targets.items()))}
    wanted = {
        name: value
        for name, value in targets.items()
        if first[id(value)] == name and not any(fnmatchcase(name, glob) for glob in flexible)
    }
    untied = {name: value for name, value in wanted.items() if count[id(value)] == 1}
    return {name: tuple(value.shape) for name, value in (untied or wanted).items()}


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


def _tell_mismatch(report: LoadReport, backbone: Backbone) -> str:
    """Says which setting a file of another shape was made with, if its first mismatch tells."""
    wanted = {name: ours for name, _, ours in report.mismatched}
    for name, theirs, ours in report.mismatched[:1]:
        if theirs[1:] == ours[1:] and is_classifier(wanted, backbone.num_classes):
            return (
                f". Its classifier is of {theirs[0]} classes: write num_classes={theirs[0]}, or "
                "classifier=False, and the head makes a new one"
            )
        first = name in backbone.first_layers and len(theirs) == len(ours) > 1
        if first and (theirs[:1], theirs[2:]) == (ours[:1], ours[2:]):
            return f". Its first layer is of {theirs[1]} channels: write in_channels={theirs[1]}"
    return ""
