"""A recipe as plain data and back: what stands in YAML, JSON and a saved model's config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fusionkit.errors import ConfigError, did_you_mean
from fusionkit.numbers import is_count, is_number
from fusionkit.policy.freeze import Freeze
from fusionkit.policy.lr import LR
from fusionkit.preprocessing import Preprocessing
from fusionkit.recipe.file import read_document
from fusionkit.recipe.freeze_form import freeze_from_data, freeze_to_data
from fusionkit.recipe.plain import copy_plain
from fusionkit.recipe.text import format_yaml
from fusionkit.recipe.values import Branch, Head, Recipe
from fusionkit.recipe.weights import HUB, Weights, is_source

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = [
    "FORMAT",
    "anchor_weights",
    "format_recipe",
    "read_recipe",
    "recipe_from_data",
    "recipe_to_data",
]

FORMAT = 1
"""The version of the recipe's form; older ones are read for ever, newer ones refused."""

JOB_SECTIONS = ("data", "training")
"""What may stand in a recipe's file beside the recipe."""


def recipe_to_data(recipe: Recipe) -> dict[str, Any]:
    """Gives the recipe as JSON-able data, without what is at its default."""
    branches = {name: _branch_to_data(branch) for name, branch in recipe.branches.items()}
    data: dict[str, Any] = {"format": FORMAT, "branches": branches}
    data["head"] = {"name": recipe.head.name}
    if recipe.head.options:
        data["head"]["options"] = copy_plain(recipe.head.options, "Head options")
    data["num_classes"] = recipe.num_classes
    if recipe.classes:
        data["classes"] = list(recipe.classes)
    if recipe.preprocess != "outside":
        data["preprocess"] = recipe.preprocess
    return data


def recipe_from_data(data: Any, source: str = "recipe") -> Recipe:
    """Builds a recipe from data in the form that ``recipe_to_data`` gives.

    Short forms are taken too: a branch that is only its backbone's name, ``head: concat``,
    ``freeze: all``, ``freeze: {last: 2}``, ``freeze: {gradual: {every: 2}}``, ``lr: 0.1``.

    Raises:
        ConfigError: names ``source``, the path of the field, and what to write instead.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(
            f"{source}: a recipe is a mapping with 'branches' and 'head', "
            f"got {'nothing' if data is None else type(data).__name__}"
        )
    try:
        plain: dict[str, Any] = copy_plain(data, "recipe")
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    _check_format(plain.pop("format", FORMAT), source)
    return _build(plain, source)


def read_recipe(path: str | Path) -> Recipe:
    """Reads a recipe from a ``.yaml``, ``.yml`` or ``.json`` file.

    Paths of weights in it are relative to the file's own folder. The sections ``data`` and
    ``training``, which are for ``fusionkit fit``, may stand beside it and are passed over.

    Raises:
        ConfigError: the file is not there, or is no recipe; names the file and the field.
    """
    path = Path(path)
    data = read_document(path)
    if isinstance(data, dict):
        data = {name: value for name, value in data.items() if name not in JOB_SECTIONS}
    return anchor_weights(recipe_from_data(data, str(path)), path.parent)


def anchor_weights(recipe: Recipe, folder: Path) -> Recipe:
    """Gives the recipe with its relative paths of weights taken from ``folder``."""
    branches = {name: _anchor(branch, folder) for name, branch in recipe.branches.items()}
    return replace(recipe, branches=branches)


def format_recipe(recipe: Recipe, form: Literal["yaml", "json"] = "yaml") -> str:
    """Gives the recipe as the text of a file that ``read_recipe`` reads back equal.

    Paths of weights are written as they are, so they must be absolute, or relative to the
    folder that the file will lie in.
    """
    data = recipe_to_data(recipe)
    if form == "json":
        return json.dumps(data, indent=2, allow_nan=False) + "\n"
    return format_yaml(data)


def _anchor(branch: Branch, folder: Path) -> Branch:
    """Makes a relative path of weights relative to the recipe's folder."""
    weights = branch.weights
    source = weights.source if isinstance(weights, Weights) else weights
    if not isinstance(source, str) or source.startswith(HUB):
        return branch
    if isinstance(weights, Weights):
        return replace(branch, weights=replace(weights, source=str(folder / source)))
    return replace(branch, weights=str(folder / source)) if is_source(source) else branch


def _branch_to_data(branch: Branch) -> dict[str, Any]:
    data = _changed(branch)
    data["weights"] = branch.weights
    if isinstance(branch.weights, Weights):
        data["weights"] = _changed(branch.weights)
    if "freeze" in data:
        data["freeze"] = freeze_to_data(branch.freeze)
    return data


def _changed(value: Any) -> dict[str, Any]:
    """Gives the fields of a dataclass that are not at their default, as plain data."""
    data: dict[str, Any] = {}
    for field in fields(value):
        current = getattr(value, field.name)
        default = field.default
        if default is MISSING and field.default_factory is not MISSING:
            default = field.default_factory()
        if default is MISSING or current != default:
            is_value = is_dataclass(current)
            data[field.name] = _changed(current) if is_value else copy_plain(current, field.name)
    return data


def _check_format(version: Any, source: str) -> None:
    if not is_count(version):
        raise ConfigError(f"{source}: format: must be a whole number, got {version!r:.80}")
    if version > FORMAT:
        raise ConfigError(
            f"{source}: format: written in recipe format {version}, but this fusionkit reads "
            f"formats up to {FORMAT}; install a newer torch-fusionkit"
        )


def _build(data: dict[str, Any], source: str) -> Recipe:
    """Builds the recipe, with the short forms written out for the validation to judge."""
    if isinstance(data.get("head"), str):
        data["head"] = {"name": data["head"]}
    if isinstance(data.get("head"), dict):
        data["head"] = {"options": {}, **data["head"]}
    freezes: dict[str, Freeze] = {}
    weights: dict[str, Weights] = {}
    branches = data.get("branches")
    if isinstance(branches, dict):
        for name, branch in branches.items():
            branches[name] = _expand_branch(branch)
            if isinstance(branch, dict) and "freeze" in branch:
                where = f"{source}: branches.{name}.freeze"
                freezes[name] = freeze_from_data(branches[name].pop("freeze"), where)
            if isinstance(branch, dict) and isinstance(branch.get("weights"), dict):
                where = f"{source}: branches.{name}.weights"
                weights[name] = _weights_from_data(branches[name].pop("weights"), where)
    recipe = _validate(data, source)
    whole = {
        name: replace(
            branch,
            freeze=freezes.get(name, branch.freeze),
            weights=weights.get(name, branch.weights),
        )
        for name, branch in recipe.branches.items()
    }
    return replace(recipe, branches=whole)


def _weights_from_data(data: dict[str, Any], where: str) -> Weights:
    known = [field.name for field in fields(Weights) if field.name != "_"]
    for name in data:
        if name not in known:
            hint = did_you_mean(name, known) or f" The fields are {', '.join(known)}."
            raise ConfigError(f"{where}.{name}: there is no such field.{hint}")
    if "source" not in data:
        raise ConfigError(f"{where}.source: is missing")
    try:
        return Weights(**data)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _expand_branch(branch: Any) -> Any:
    if isinstance(branch, str):
        return {"backbone": branch}
    if not isinstance(branch, dict):
        return branch
    lr = branch.get("lr")
    return {**branch, "lr": {"scale": lr}} if is_number(lr) else dict(branch)


def _validate(data: dict[str, Any], source: str) -> Recipe:
    from pydantic import ValidationError

    from fusionkit.recipe.faults import explain

    try:
        # As JSON, where strict means what it says: a list for a tuple, but no "10" for 10.
        return _adapter().validate_json(json.dumps(data, allow_nan=False))
    except ValidationError as error:
        raise ConfigError(f"{source}: {explain(error, data)}") from error


@cache
def _adapter() -> TypeAdapter[Recipe]:
    from pydantic import ConfigDict, TypeAdapter, with_config

    strict = with_config(ConfigDict(extra="forbid", strict=True))
    for value in (Recipe, Branch, Head, LR, Preprocessing):
        strict(value)
    return TypeAdapter(Recipe)
