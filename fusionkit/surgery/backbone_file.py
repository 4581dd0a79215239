"""Writes one branch as a checkpoint of its provider's own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from torch import nn

import fusionkit
from fusionkit.checkpoint.config import backbone_of
from fusionkit.checkpoint.folder import FULL
from fusionkit.checkpoint.leftovers import fresh_folder, sweep
from fusionkit.errors import CheckpointError
from fusionkit.model.anatomy import trunk_of
from fusionkit.model.fused import FusedModel
from fusionkit.saved.texts import flush_folder
from fusionkit.surgery.subject import check_branch, check_model, check_unchanged
from fusionkit.tensors.header import read_header
from fusionkit.tensors.state import nonfinite_problem, state_of
from fusionkit.tensors.write import write_tensors

__all__ = ["save_backbone"]

SUFFIX = ".safetensors"
OURS = "fusionkit"


def save_backbone(
    model: FusedModel,
    branch: str,
    path: str | PathLike[str],
    *,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Writes a branch's backbone as a safetensors file under its provider's own names.

    The file is what the provider's own model of that name takes, built for the same channels and
    with a classifier only if the branch has one; and so does ``Branch(name, weights=path)``. Its
    metadata say what it is: ``backbone`` and ``options``, the provider's name and what it is built
    with; ``weights``, ``base_model`` and ``license``, of the weights that it began with;
    ``from``, ``in_channels``, ``num_classes`` and ``fusionkit``.

    The file is written beside its place and put there in one step. Another such file in the same
    place is replaced; anything else is refused.

    Args:
        model: as ``compose`` or ``load`` gave it.
        branch: its name.
        path: where to; ends with ``.safetensors``.
        metadata: what the file shall say besides or instead, such as
            ``{"license": "apache-2.0"}``.

    Returns:
        The path.

    Raises:
        CheckpointError: the file cannot be written, or the backbone has values that are not
            finite or that the format does not have.
        ConfigError: there is no such branch.
        AssemblyError: the model was changed by hand since it was composed.
    """
    check_branch(branch, check_model("save_backbone", model).recipe.branches)
    check_unchanged(model)
    target = Path(path)
    _check_target(target)
    said = {**_describe(model, branch), **(metadata or {})}
    if not all(isinstance(each, str) for pair in said.items() for each in pair):
        raise CheckpointError(f"metadata are text by name, got {metadata!r:.200}")
    tensors = state_of(trunk_of(backbone_of(model, branch)))
    for name, value in tensors.items():
        problem = nonfinite_problem(value, isinstance(value, nn.Parameter))
        if problem:
            raise CheckpointError(
                f"branch {branch!r} is not saved: {name!r:.200} {problem}, so its training has "
                "diverged"
            )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target)
        with fresh_folder(target) as fresh:
            write_tensors(fresh / target.name, tensors, said)
            os.replace(fresh / target.name, target)
            flush_folder(target.parent)
    except OSError as error:
        cause = FULL.get(error.errno or 0, str(error))
        kept = "what was there before is kept" if target.exists() else "nothing was written"
        raise CheckpointError(f"cannot write {target}: {cause}; {kept}") from error
    return target


def _describe(model: FusedModel, name: str) -> dict[str, str]:
    """Gives what the file says of itself: what to build for it, and where it is from."""
    backbone = backbone_of(model, name)
    branch = model.recipe.branches[name]
    built, options = branch.backbone, branch.options
    if backbone.rebuild is not None:  # the name and options that need nothing from outside
        built = f"{branch.backbone.partition('/')[0]}/{backbone.rebuild[0]}"
        options = backbone.rebuild[1]
    said = {
        "backbone": built,
        "options": json.dumps(dict(options)),
        "weights": backbone.weights,
        "base_model": backbone.base_model,
        "license": backbone.license,
        "from": model.provenance.get(name),
        "in_channels": str(backbone.in_channels),
        "num_classes": None if backbone.num_classes is None else str(backbone.num_classes),
        OURS: fusionkit.__version__,
    }
    return {key: text for key, text in said.items() if text}


def _check_target(target: Path) -> None:
    if not target.name.endswith(SUFFIX):
        raise CheckpointError(
            f"cannot write {target}: the name of a backbone's file ends with {SUFFIX}, so that "
            f"Branch(weights=...) knows it; write for example {f'{target}{SUFFIX}'!r}"
        )
    if target.is_symlink() or (target.exists() and not target.is_file()):
        raise CheckpointError(f"{target} is a link or a folder; give the path of a file")
    if target.exists():
        try:
            ours = {OURS, "backbone"} <= read_header(target).metadata.keys()
        except CheckpointError:
            ours = False
        if not ours:
            raise CheckpointError(
                f"{target} exists, and save_backbone did not write it; choose another name, so "
                "that nothing of yours is replaced"
            )
