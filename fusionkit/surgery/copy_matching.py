"""Copies the part that two models share from one into the other."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from glob import escape

from torch import nn

from fusionkit.errors import CheckpointError, ConfigError
from fusionkit.model.fused import FusedModel
from fusionkit.surgery.subject import check_branch, check_model
from fusionkit.tensors.match import load_tensors
from fusionkit.tensors.report import LoadReport
from fusionkit.tensors.state import state_of

__all__ = ["copy_matching"]

MAPPINGS = (nn.ModuleDict, nn.ParameterDict)


def copy_matching(
    source: FusedModel,
    target: FusedModel,
    *,
    branches: Sequence[str] | None = None,
    head: bool = True,
    except_for: Sequence[str] = (),
) -> LoadReport:
    """Copies branches and head of one model into another, by names and shapes.

    Within what is copied, every tensor must be in both models with the same shape, but for those
    that are named; so must a layer of the head that reads all branches be where the models have
    others, since it would fit and yet mean something else. Types and devices are the target's,
    and its parameters stay the objects that they are, so that an optimizer goes on with them. If
    anything does not fit, nothing changes.

    Args:
        source: what is copied from; it is left as it is.
        target: what is copied into, in place.
        branches: their names; by default all that both models have.
        head: whether the head is copied too.
        except_for: globs over names such as ``"head.classifier.*"``, of tensors that are copied
            where both models have them in one shape, and left alone where not.

    Returns:
        The report: what was loaded, and what kept its own values.

    Raises:
        ConfigError: a model has no such branch, or there is nothing to copy.
        CheckpointError: a tensor is in one model only, or of another shape, or reads other
            branches than it has learned from.
    """
    ours = check_model("copy_matching", source)
    theirs = check_model("copy_matching", target)
    if isinstance(branches, str) or isinstance(except_for, str):
        raise ConfigError("branches and except_for are lists of text, not text")
    if branches is None:
        branches = [name for name in ours.recipe.branches if name in theirs.recipe.branches]
    for name in branches:
        check_branch(name, ours.recipe.branches)
        check_branch(name, theirs.recipe.branches)
    parts = (*(f"branches.{name}." for name in branches), *(("head.",) if head else ()))
    if not parts:
        raise ConfigError("there is nothing to copy: the models share no branch, and head=False")
    targets = state_of(theirs)
    tensors = {name: v for name, v in state_of(ours).items() if name.startswith(parts)}
    free = {name for name in (*tensors, *targets) if any(fnmatchcase(name, g) for g in except_for)}
    fitting = {
        name: value
        for name, value in tensors.items()
        if name not in free or (name in targets and targets[name].shape == value.shape)
    }
    if head:
        _refuse_shared(ours, theirs, fitting.keys() - free)
    spared = [f"branches.{name}.*" for name in theirs.recipe.branches if name not in branches]
    spared += [escape(name) for name in targets if name in free]
    spared += [] if head else ["head.*"]
    try:
        return load_tensors(theirs, fitting, "the source model", missing=spared)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}. Nothing was copied; name what may differ, as except_for=['head.*'], or "
            "leave the head out with head=False"
        ) from error


def _refuse_shared(ours: FusedModel, theirs: FusedModel, names: Collection[str]) -> None:
    """Refuses what of a head belongs to no single branch, where the heads read other branches."""
    one, other = ours.recipe.branches, theirs.recipe.branches
    if one.keys() == other.keys():
        return
    known = one.keys() | other.keys()
    read = [name for name in names if name.startswith("head.")]
    shared = [name for name in read if not _is_ones(ours, name, known)]
    if shared:
        raise CheckpointError(
            f"{min(shared)!r:.200} has learned from the branches {', '.join(sorted(one))}, but "
            f"would read {', '.join(sorted(other))}. Nothing was copied; leave the head out with "
            "head=False, or name in except_for what is to be copied all the same"
        )


def _is_ones(model: FusedModel, name: str, branches: Collection[str]) -> bool:
    """Tells whether a tensor lies in a mapping of the head's, under the name of a branch."""
    words = name.split(".")
    return any(
        word in branches and isinstance(model.get_submodule(".".join(words[:depth])), MAPPINGS)
        for depth, word in enumerate(words)
    )
