"""A recipe as plain data and back: what stands in YAML, JSON and a saved model's config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import ConfigError, did_you_mean
from fusionkit.policy.freeze import Freeze
from fusionkit.recipe.text import parse_json, parse_yaml
from fusionkit.recipe.values import Branch, Head, Recipe

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["FORMAT", "read_recipe", "recipe_from_data", "recipe_to_data"]

FORMAT = 1
"""The version of the recipe's form; older ones are read for ever, newer ones refused."""


def recipe_to_data(recipe: Recipe) -> dict[str, Any]:
    """Gives the recipe as JSON-able data, without what is at its default."""
    branches = {name: _branch_to_data(branch) for name, branch in recipe.branches.items()}
    data: dict[str, Any] = {"format": FORMAT, "branches": branches}
    data["head"] = {"name": recipe.head.name, **_if_any("options", dict(recipe.head.options))}
    data["num_classes"] = recipe.num_classes
    if recipe.preprocess != "outside":
        data["preprocess"] = recipe.preprocess
    return data


def recipe_from_data(data: Any, source: str = "recipe") -> Recipe:
    """Builds a recipe from data in the form that ``recipe_to_data`` gives.

    Short forms are taken too: ``head: concat``, ``freeze: all``, ``freeze: {last: 2}``,
    ``freeze: {gradual: {every: 2}}``, ``lr: 0.1``.

    Raises:
        ConfigError: names ``source``, the path of the field, and what to write instead.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{source}: a recipe is a mapping with 'branches' and 'head'")
    data = dict(data)
    version = data.pop("format", FORMAT)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ConfigError(f"{source}: format must be a whole number, got {version!r}")
    if version > FORMAT:
        raise ConfigError(
            f"{source}: written in recipe format {version}, but this fusionkit reads formats up "
            f"to {FORMAT}; install a newer torch-fusionkit"
        )
    return _validate(_expand(data), source)


def read_recipe(path: str | Path) -> Recipe:
    """Reads a recipe from a ``.yaml``, ``.yml`` or ``.json`` file.

    Paths of weights in it are relative to the file's own folder.

    Raises:
        ConfigError: the file is not there, or is no recipe; names the file and the field.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the recipe {path}: {error}") from error
    parse = parse_json if path.suffix == ".json" else parse_yaml
    recipe = recipe_from_data(parse(text, str(path)), str(path))
    branches = {name: _anchor(branch, path.parent) for name, branch in recipe.branches.items()}
    return Recipe(branches, recipe.head, recipe.num_classes, recipe.preprocess)


def _anchor(branch: Branch, folder: Path) -> Branch:
    """Makes a relative path of weights relative to the recipe's folder."""
    from dataclasses import replace

    weights = branch.weights
    if not isinstance(weights, str) or not weights.endswith(".safetensors"):
        return branch
    return replace(branch, weights=str(folder / weights))


def _branch_to_data(branch: Branch) -> dict[str, Any]:
    data = _changed(branch)
    data["weights"] = branch.weights
    if "freeze" in data:
        data["freeze"] = _freeze_to_data(branch.freeze)
    return data


def _freeze_to_data(freeze: Freeze) -> Any:
    arguments: Any = {
        "last": freeze.count,
        "until": freeze.stage,
        "only": list(freeze.patterns),
        "gradual": {"start": freeze.start, "every": freeze.every, "stages": freeze.stages},
    }.get(freeze.rule)
    modes = {
        mode: getattr(freeze, mode)
        for mode in ("norm", "dropout")
        if getattr(freeze, mode) != "follow"
    }
    if arguments is None:
        return {freeze.rule: True, **modes} if modes else freeze.rule
    return {freeze.rule: arguments, **modes}


def _changed(value: Any) -> dict[str, Any]:
    """Gives the fields of a dataclass that are not at their default, as plain data."""
    data: dict[str, Any] = {}
    for field in fields(value):
        current = getattr(value, field.name)
        default = field.default
        if default is MISSING and field.default_factory is not MISSING:
            default = field.default_factory()
        if default is MISSING or current != default:
            data[field.name] = _changed(current) if is_dataclass(current) else _plain(current)
    return data


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _if_any(key: str, value: Any) -> dict[str, Any]:
    return {key: value} if value else {}


def _expand(data: dict[str, Any]) -> dict[str, Any]:
    """Writes the short forms out, and leaves everything else for the validation to judge."""
    if isinstance(data.get("head"), str):
        data["head"] = {"name": data["head"]}
    if isinstance(data.get("head"), Mapping):
        data["head"] = {"options": {}, **data["head"]}
    branches = data.get("branches")
    if isinstance(branches, Mapping):
        data["branches"] = {name: _expand_branch(branch) for name, branch in branches.items()}
    return data


def _expand_branch(branch: Any) -> Any:
    if isinstance(branch, str):
        return {"backbone": branch}
    if not isinstance(branch, Mapping):
        return branch
    expanded = dict(branch)
    lr = expanded.get("lr")
    if isinstance(lr, (int, float)) and not isinstance(lr, bool):
        expanded["lr"] = {"scale": lr}
    if "freeze" in expanded:
        expanded["freeze"] = _expand_freeze(expanded["freeze"])
    return expanded


def _expand_freeze(freeze: Any) -> Any:
    if isinstance(freeze, str):
        return {"rule": freeze}
    if not isinstance(freeze, Mapping) or "rule" in freeze:
        return freeze
    expanded = {key: value for key, value in freeze.items() if key in ("norm", "dropout")}
    rules = [key for key in freeze if key not in expanded]
    if len(rules) != 1:
        return freeze
    rule, value = rules[0], freeze[rules[0]]
    expanded["rule"] = rule
    if rule == "last":
        expanded["count"] = value
    elif rule == "until":
        expanded["stage"] = value
    elif rule == "only":
        expanded["patterns"] = [value] if isinstance(value, str) else value
    elif rule == "gradual" and isinstance(value, Mapping):
        expanded.update({"start": value.get("every", 1), **value})
    return expanded


@cache
def _adapter() -> TypeAdapter[Recipe]:
    from pydantic import ConfigDict, TypeAdapter

    from fusionkit.policy.lr import LR
    from fusionkit.preprocessing import Preprocessing

    for value in (Recipe, Branch, Head, Freeze, LR, Preprocessing):
        value.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[attr-defined]
    return TypeAdapter(Recipe)


def _validate(data: dict[str, Any], source: str) -> Recipe:
    from pydantic import ValidationError

    try:
        return _adapter().validate_json(json.dumps(data, allow_nan=False))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or "the recipe"
        message = first["msg"]
        if first["type"] == "unexpected_keyword_argument":
            message = "there is no such field." + did_you_mean(str(first["loc"][-1]), _known(first))
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise ConfigError(f"{source}: {path}: {message}{more}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{source}: {error}") from error


def _known(error: Any) -> list[str]:
    """Gives the fields that could have stood where an unknown one was found."""
    from fusionkit.policy.lr import LR
    from fusionkit.preprocessing import Preprocessing

    parents = [part for part in error["loc"][:-1] if isinstance(part, str)]
    owner: Any = Recipe
    for part in parents:
        owner = {"freeze": Freeze, "lr": LR, "preprocessing": Preprocessing, "head": Head}.get(
            part, Branch
        )
    return [field.name for field in fields(owner)]
