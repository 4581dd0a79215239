"""Changes single fields of a recipe from the command line: ``training.lr=3e-4``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from fusionkit.errors import ConfigError, did_you_mean
from fusionkit.recipe.form import JOB_SECTIONS
from fusionkit.recipe.text import parse_yaml
from fusionkit.recipe.values import Recipe

__all__ = ["apply_overrides"]


def apply_overrides(data: Any, overrides: Sequence[str], source: str) -> Any:
    """Gives the data with some fields set; each override is ``PATH=VALUE``, the value in YAML.

    A path goes through mappings, by keys joined with dots; what is not there is made. A branch
    or head that is only a name becomes a mapping first. Whether such a field exists is asked
    when the job is built.

    Raises:
        ConfigError: an override has no path or no value, or its path leads through what is no
            mapping.
    """
    if not overrides:
        return data
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: nothing can be set in what is no mapping")
    changed = _copy(data)
    seen: set[str] = set()
    for override in overrides:
        path, equals, text = override.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise ConfigError(
                f"--set takes PATH=VALUE, for example training.lr=3e-4; got {override!r:.200}"
            )
        if path in seen:
            raise ConfigError(f"--set {path}: stands twice")
        seen.add(path)
        value = parse_yaml(text, f"--set {path}") if text.strip() else None
        _check_place(changed, keys, f"--set {path}")
        _set(changed, keys, value, f"--set {path}")
    return changed


def _check_place(data: dict[str, Any], keys: list[str], where: str) -> None:
    """Refuses a field of the whole that there is not, and of a branch that there is not."""
    known = [*(field.name for field in fields(Recipe)), *JOB_SECTIONS, "format"]
    if keys[0] not in known:
        hint = did_you_mean(keys[0], known) or f" The fields are {', '.join(known)}."
        raise ConfigError(f"{where}: there is no field {keys[0]!r:.80}.{hint}")
    branches = data.get("branches")
    if keys[0] != "branches" or len(keys) < 3 or not isinstance(branches, dict):
        return
    if keys[1] not in branches:
        hint = did_you_mean(keys[1], branches) or f" The branches are {', '.join(branches)}."
        raise ConfigError(f"{where}: there is no branch {keys[1]!r:.80}.{hint}")


def _set(data: dict[str, Any], keys: list[str], value: Any, where: str) -> None:
    for depth, key in enumerate(keys[:-1]):
        inside = data.get(key)
        if inside is None:
            inside = {}
        elif isinstance(inside, str) and (key == "head" or keys[:depth] == ["branches"]):
            inside = {"name" if key == "head" else "backbone": inside}
        if not isinstance(inside, dict):
            raise ConfigError(
                f"{where}: {'.'.join(keys[: depth + 1])} is {inside!r:.80}, which has no field "
                f"{keys[depth + 1]!r}"
            )
        data[key] = inside
        data = inside
    data[keys[-1]] = value


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(each) for key, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, list) else value
