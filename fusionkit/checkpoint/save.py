"""``save``: recipe and tensors in one folder."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import fusionkit
from fusionkit.checkpoint.folder import replace_folder
from fusionkit.errors import CheckpointError
from fusionkit.model.fused import FusedModel
from fusionkit.recipe.form import recipe_to_data

__all__ = ["CONFIG", "FORMAT", "TENSORS", "save"]

CONFIG = "config.json"
TENSORS = "model.safetensors"
FORMAT = 1
"""The version of the saved folder; older ones are read for ever, newer ones refused."""


def save(model: FusedModel, folder: str | PathLike[str]) -> Path:
    """Writes the model to a folder that ``load`` gives back bit for bit.

    The folder holds ``config.json``, ``model.safetensors`` and ``manifest.json`` with their
    checksums. It is written beside its target and renamed, so that a killed save leaves the old
    folder or the new one. A saved model in the same place is replaced; anything else is refused.

    Raises:
        CheckpointError: the folder cannot be written, or holds what no save wrote, or the model
            has tensors that safetensors cannot hold.
    """
    target = Path(folder)
    tensors = _tensors(model)
    config = _config(model)

    def fill(fresh: Path) -> None:
        from safetensors.torch import save_file

        (fresh / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        save_file(tensors, fresh / TENSORS, metadata={"format": "pt"})

    replace_folder(target, fill)
    return target


def _config(model: FusedModel) -> dict[str, Any]:
    """Gives what is needed to build the model again, and to tell when that goes wrong."""
    branches = {}
    for name, part in model.parts.items():
        backbone = model.get_submodule(f"branches.{name}")
        branches[name] = {
            "from": model.provenance.get(name, ""),
            "embed_dim": backbone.embed_dim,
            "stages": list(part.anatomy.stages),
        }
    return {
        "format": FORMAT,
        "fusionkit": fusionkit.__version__,
        "torch": str(torch.__version__),
        "recipe": recipe_to_data(model.recipe),
        "epoch": model.epoch,
        "branches": branches,
        "head": {"from": model.provenance.get("head", "")},
    }


def _tensors(model: FusedModel) -> dict[str, Tensor]:
    """Gives every tensor once, contiguous, on the CPU; tied ones by their first name."""
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in model.state_dict(keep_vars=True).items():
        if not isinstance(value, Tensor):
            raise CheckpointError(f"{name!r} is {type(value).__name__}, which no tensor file holds")
        if value.is_meta:
            raise CheckpointError(f"{name!r} is on the meta device and has no values to save")
        if id(value) in seen:
            continue
        seen.add(id(value))
        plain = value.detach().to("cpu", copy=True)
        tensors[name] = plain.contiguous(memory_format=torch.contiguous_format)
    return tensors
