"""A job in a file: a recipe's YAML or JSON with the sections ``data`` and ``training``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fusionkit.errors import ConfigError
from fusionkit.recipe.file import read_document
from fusionkit.recipe.form import anchor_weights, recipe_from_data, recipe_to_data
from fusionkit.recipe.plain import copy_plain
from fusionkit.recipe.text import format_yaml
from fusionkit.runs.overrides import apply_overrides
from fusionkit.runs.settings import DataSettings, Job, Named, TrainingSettings

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["anchor_job", "format_job", "job_from_data", "job_to_data", "read_job"]

SECTIONS: Mapping[str, type[Any]] = {"data": DataSettings, "training": TrainingSettings}
SHORT = ("optimizer", "schedule")
"""Fields that may be only a name."""


def read_job(path: str | Path, overrides: Sequence[str] = ()) -> Job:
    """Reads a job from a recipe's file; what it does not say is at its default.

    Paths of weights and of data are relative to the file's own folder.

    Args:
        path: a ``.yaml``, ``.yml`` or ``.json`` file.
        overrides: for example ``"training.lr=3e-4"`` or ``"branches.rgb.freeze=all"``; values are
            YAML.

    Raises:
        ConfigError: the file is not there or a field is wrong; names the file and the field.
    """
    path = Path(path)
    data = apply_overrides(read_document(path), overrides, str(path))
    return anchor_job(job_from_data(data, str(path)), path.parent)


def anchor_job(job: Job, folder: Path) -> Job:
    """Gives the job with its relative paths of weights and of data taken from ``folder``."""
    job = replace(job, recipe=anchor_weights(job.recipe, folder))
    source = job.data.source
    if source is not None:
        job = replace(job, data=replace(job.data, source=str(folder / source)))
    return job


def job_from_data(data: Any, source: str = "recipe") -> Job:
    """Builds a job from data in the form that ``job_to_data`` gives.

    Raises:
        ConfigError: names ``source``, the path of the field, and what to write instead.
    """
    if not isinstance(data, Mapping):
        return Job(recipe_from_data(data, source))  # which says what is wrong
    rest = {name: value for name, value in data.items() if name not in SECTIONS}
    recipe = recipe_from_data(rest, source)
    found = {name: _section(name, data[name], source) for name in SECTIONS if name in data}
    return Job(recipe, **found)


def job_to_data(job: Job) -> dict[str, Any]:
    """Gives the job as JSON-able data, its settings complete."""
    return {
        **recipe_to_data(job.recipe),
        "data": _plain(job.data),
        "training": _plain(job.training),
    }


def format_job(job: Job, form: Literal["yaml", "json"] = "yaml") -> str:
    """Gives the text of a file that ``read_job`` reads back equal."""
    data = job_to_data(job)
    return format_yaml(data) if form == "yaml" else json.dumps(data, indent=2) + "\n"


def _section(name: str, data: Any, source: str) -> Any:
    from pydantic import ValidationError

    from fusionkit.recipe.faults import explain

    if data is None:
        return SECTIONS[name]()
    if not isinstance(data, Mapping):
        known = ", ".join(field.name for field in fields(SECTIONS[name]))
        raise ConfigError(f"{source}: {name}: must be a mapping of {known}")
    try:
        plain: dict[str, Any] = copy_plain(data, name)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    for short in SHORT:
        if isinstance(plain.get(short), str):
            plain[short] = {"name": plain[short]}
    try:
        return _adapter(name).validate_json(json.dumps(plain, allow_nan=False))
    except ValidationError as error:
        said = explain(error, plain, _owner(name), name)
        raise ConfigError(f"{source}: {said}") from error


def _owner(name: str) -> Callable[[tuple[str, ...]], type[Any]]:
    return lambda place: Named if place and place[0] in SHORT else SECTIONS[name]


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    from pydantic import ConfigDict, TypeAdapter, with_config

    strict = with_config(ConfigDict(extra="forbid", strict=True))
    for value in (SECTIONS[name], Named):
        strict(value)
    return TypeAdapter(SECTIONS[name])


def _plain(value: Any) -> Any:
    if isinstance(value, Named):
        return value.name if not value.options else {"name": value.name, "options": value.options}
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return list(value) if isinstance(value, tuple) else value
