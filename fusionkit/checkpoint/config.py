"""``config.json``: what it takes to build a saved model again, and to tell if that goes wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

import fusionkit
from fusionkit.backbone.contract import Backbone
from fusionkit.errors import CheckpointError, ConfigError
from fusionkit.model.fused import FusedModel
from fusionkit.numbers import are_ascending
from fusionkit.recipe.form import recipe_from_data, recipe_to_data
from fusionkit.recipe.plain import copy_plain
from fusionkit.recipe.text import parse_json
from fusionkit.recipe.values import Recipe
from fusionkit.saved.manifest import refuse_later
from fusionkit.tensors.dtypes import DTYPES, NAMES

__all__ = [
    "CONFIG",
    "SavedBranch",
    "SavedModel",
    "backbone_of",
    "describe",
    "format_config",
    "parse_config",
]

CONFIG = "config.json"
FORMAT = 1
"""The version of the saved folder; older ones are read for ever, newer ones refused."""

OPTIONAL = ("license", "base_model")
"""What is written of a branch where its provider stated it."""

GIVEN = "a plugin given in Python"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SavedBranch:
    """What a branch was when it was saved.

    Attributes:
        origin: the distribution and version that it came from.
        embed_dim: the width of its vector.
        stages: their names, stem first.
        weights: what pretrained weights it began with; ``None`` for random ones.
        rebuild: the provider's name and options that build it from nothing outside; ``None``
            where the recipe's own do.
        license: of those weights, as the provider stated it.
        base_model: their name on the Hugging Face hub.
        thaws: the epochs at which stages had thawed on a plateau.
    """

    origin: str
    embed_dim: int
    stages: tuple[str, ...]
    weights: str | None
    rebuild: tuple[str, Mapping[str, Any]] | None = None
    license: str | None = None
    base_model: str | None = None
    thaws: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SavedModel:
    """What ``config.json`` holds.

    Attributes:
        recipe: what the model was composed from.
        epoch: at which it was saved.
        branches: by name.
        head: the distribution and version that the head came from.
        dtypes: the types of floating-point buffers that are not in the file, by name.
        fusionkit: the version that saved it.
        torch: the version that it was saved with.
    """

    recipe: Recipe
    epoch: int
    branches: Mapping[str, SavedBranch]
    head: str
    dtypes: Mapping[str, torch.dtype]
    fusionkit: str
    torch: str

    @property
    def made_by(self) -> str:
        """What the model was saved with, for errors."""
        origins = [f"{name!r} from {each.origin}" for name, each in sorted(self.branches.items())]
        said = (
            f"The model was saved with fusionkit {self.fusionkit} and torch {self.torch}: "
            f"{', '.join(origins)}, the head from {self.head}"
        )
        if GIVEN in {self.head, *(each.origin for each in self.branches.values())}:
            said += "; give load a catalog that has it, as load(folder, catalog=...)"
        return said


def backbone_of(model: FusedModel, name: str) -> Backbone:
    """Gives the backbone of a branch."""
    backbone = model.branches[name]
    assert isinstance(backbone, Backbone)
    return backbone


def describe(model: FusedModel) -> SavedModel:
    """Gives what is to be saved of a model besides its tensors."""
    branches = {}
    for name, part in model.parts.items():
        backbone = backbone_of(model, name)
        branches[name] = SavedBranch(
            model.provenance.get(name, ""),
            backbone.embed_dim,
            part.anatomy.stages,
            backbone.weights,
            _plain_rebuild(name, backbone.rebuild),
            backbone.license or None,
            backbone.base_model or None,
            part.thaws,
        )
    persistent = model.state_dict().keys()
    return SavedModel(
        recipe=model.recipe,
        epoch=model.epoch,
        branches=branches,
        head=model.provenance.get("head", ""),
        dtypes={
            name: value.dtype
            for name, value in model.named_buffers()
            if name not in persistent and value.is_floating_point() and value.dtype in NAMES
        },
        fusionkit=fusionkit.__version__,
        torch=str(torch.__version__),
    )


def _plain_rebuild(name: str, rebuild: Any) -> tuple[str, Mapping[str, Any]] | None:
    if rebuild is None:
        return None
    try:
        model, options = rebuild
        plain = {} if not isinstance(options, Mapping) else copy_plain(options, "its options")
        if isinstance(model, str) and model and isinstance(options, Mapping):
            return model, plain
    except (TypeError, ValueError, ConfigError) as error:
        raise CheckpointError(
            f"branch {name!r}: `rebuild` of its backbone cannot be saved: {error}"
        ) from error
    raise CheckpointError(
        f"branch {name!r}: `rebuild` of its backbone must be the name of a model and a mapping of "
        f"options, got {rebuild!r:.80}"
    )


def format_config(saved: SavedModel) -> str:
    """Gives the text of ``config.json``, which ``parse_config`` reads back equal."""
    data = {
        "format": FORMAT,
        "fusionkit": saved.fusionkit,
        "torch": saved.torch,
        "recipe": recipe_to_data(saved.recipe),
        "epoch": saved.epoch,
        "branches": {
            name: {
                "from": branch.origin,
                "embed_dim": branch.embed_dim,
                "stages": list(branch.stages),
                "weights": branch.weights,
                **_rebuild_to_data(branch),
                **{key: getattr(branch, key) for key in OPTIONAL if getattr(branch, key)},
                **({"thaws": list(branch.thaws)} if branch.thaws else {}),
            }
            for name, branch in saved.branches.items()
        },
        "head": {"from": saved.head},
        "dtypes": {name: NAMES[dtype] for name, dtype in saved.dtypes.items()},
    }
    return json.dumps(data, indent=2, allow_nan=False) + "\n"


def _rebuild_to_data(branch: SavedBranch) -> dict[str, Any]:
    if branch.rebuild is None:
        return {}
    model, options = branch.rebuild
    return {"rebuild": {"name": model, "options": options}}


def parse_config(text: str, path: Path) -> SavedModel:
    """Reads the text of ``config.json``.

    Raises:
        CheckpointError: it is none, is of a later format, or a field is missing or wrong.
    """
    try:
        data = parse_json(text, str(path))
        if not isinstance(data, dict):
            raise CheckpointError(f"{path} is not the config of a saved fusionkit model")
        refuse_later(data, FORMAT, path)
        recipe = recipe_from_data(_field(data, "recipe", dict, path), str(path))
    except ConfigError as error:
        raise CheckpointError(f"cannot read the recipe in it: {error}") from error
    epoch = _field(data, "epoch", int, path)
    if epoch < 0:
        raise CheckpointError(f"{path}: the field 'epoch' is below 0")
    branches = {
        name: _branch(branch, path) for name, branch in _field(data, "branches", dict, path).items()
    }
    if set(branches) != set(recipe.branches):
        raise CheckpointError(f"{path}: the recipe has other branches than 'branches' lists")
    dtypes = _field(data, "dtypes", dict, path)
    for name, dtype in dtypes.items():
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise CheckpointError(f"{path}: the buffer {name!r:.80} has no type that there is")
    return SavedModel(
        recipe=recipe,
        epoch=epoch,
        branches=branches,
        head=_field(_field(data, "head", dict, path), "from", str, path),
        dtypes={name: DTYPES[dtype] for name, dtype in dtypes.items()},
        fusionkit=_field(data, "fusionkit", str, path),
        torch=_field(data, "torch", str, path),
    )


def _branch(data: Any, path: Path) -> SavedBranch:
    stages = _field(data, "stages", list, path)
    weights = data.get("weights")
    if not all(isinstance(each, str) for each in stages):
        raise CheckpointError(f"{path}: the names of stages are no text")
    for key in ("weights", *OPTIONAL):
        if not isinstance(data.get(key, ""), str | None):
            raise CheckpointError(f"{path}: the name of {key} is no text")
    return SavedBranch(
        _field(data, "from", str, path),
        _field(data, "embed_dim", int, path),
        tuple(stages),
        weights,
        _rebuild_from_data(data.get("rebuild"), path),
        **{key: data.get(key) for key in OPTIONAL},
        thaws=_thaws(data.get("thaws", []), path),
    )


def _thaws(data: Any, path: Path) -> tuple[int, ...]:
    if not isinstance(data, list) or not are_ascending(data):
        raise CheckpointError(f"{path}: the field 'thaws' is no list of ascending epochs")
    return tuple(data)


def _rebuild_from_data(data: Any, path: Path) -> tuple[str, Mapping[str, Any]] | None:
    if data is None:  # also in what was saved before there was such a field
        return None
    if not isinstance(data, dict):
        raise CheckpointError(f"{path}: the field 'rebuild' is no dict")
    unknown = sorted(set(data) - {"name", "options"})
    if unknown:
        raise CheckpointError(f"{path}: 'rebuild' has a field {unknown[0]!r:.80}, which is unknown")
    name = _field(data, "name", str, path)
    if not name:
        raise CheckpointError(f"{path}: the name in 'rebuild' is empty")
    try:
        return name, copy_plain(_field(data, "options", dict, path), "the options in 'rebuild'")
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _field(data: Any, key: str, kind: type[T], path: Path) -> T:
    value = data.get(key) if isinstance(data, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise CheckpointError(f"{path}: the field {key!r} is missing or is no {kind.__name__}")
    return value
