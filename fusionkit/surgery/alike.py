"""Whether two models are of one architecture."""

from __future__ import annotations

from collections.abc import Iterable

from fusionkit.errors import CheckpointError
from fusionkit.model.fused import FusedModel
from fusionkit.recipe.values import Branch
from fusionkit.tensors.state import state_of

__all__ = ["check_alike"]

BUILT_BY = ("backbone", "options", "in_channels", "classifier", "input", "preprocessing")
"""What of a branch decides on what it computes; the rest is how it was filled and trained."""


def check_alike(first: FusedModel, other: FusedModel, title: str) -> None:
    """Refuses two models that differ in more than values and policies.

    Args:
        first: what the other is held against.
        other: the other one.
        title: what to call it.

    Raises:
        CheckpointError: says what the first difference is.
    """
    said = _difference(first, other)
    if said:
        raise CheckpointError(
            f"{title} is of another architecture than the first model: {said}; only models of one "
            "architecture are averaged"
        )


def _difference(first: FusedModel, other: FusedModel) -> str:
    ours, theirs = first.recipe, other.recipe
    if ours.branches.keys() != theirs.branches.keys():
        return f"its branches are {_list(theirs.branches)}, not {_list(ours.branches)}"
    for name, branch in ours.branches.items():
        said = _field(branch, theirs.branches[name])
        if said:
            return f"branch {name!r} has {said}"
    for field in ("head", "num_classes", "preprocess"):
        here, there = getattr(ours, field), getattr(theirs, field)
        if here != there:
            return f"its {field} is {there!r:.200}, not {here!r:.200}"
    return _shapes(first, other)


def _field(ours: Branch, theirs: Branch) -> str:
    for field in BUILT_BY:
        here, there = getattr(ours, field), getattr(theirs, field)
        if here != there:
            return f"{field} {there!r:.200}, not {here!r:.200}"
    return ""


def _shapes(first: FusedModel, other: FusedModel) -> str:
    ours, theirs = state_of(first), state_of(other)
    for name in sorted(ours.keys() ^ theirs.keys()):
        return f"{name!r:.200} is in one of them only"
    for name, value in ours.items():
        if theirs[name].shape != value.shape:
            here, there = tuple(value.shape), tuple(theirs[name].shape)
            return f"{name!r:.200} has the shape {there}, not {here}"
    return ""


def _list(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
