"""Calls a factory with as much as it takes, and says what it does not take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

__all__ = ["accepted_keywords", "call_with", "defaults_of", "preset"]


def accepted_keywords(make: Callable[..., Any], names: tuple[str, ...]) -> frozenset[str]:
    """Gives which of ``names`` can be passed to ``make`` by keyword."""
    try:
        parameters = inspect.signature(make).parameters
    except (TypeError, ValueError):  # some builtins tell nothing
        return frozenset(names)
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return frozenset(names)
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return frozenset(
        name for name in names if name in parameters and parameters[name].kind in kinds
    )


def call_with(make: Callable[..., Any], accepted: frozenset[str], given: Mapping[str, Any]) -> Any:
    """Gives what ``make`` builds from those of ``given`` that it takes."""
    return make(**{name: value for name, value in given.items() if name in accepted})


def defaults_of(make: Callable[..., Any], without: Iterable[str]) -> dict[str, Any]:
    """Gives the defaults of what ``make`` takes by keyword, without those of some names."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # some callables tell nothing
        return {}
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {
        each.name: each.default
        for each in parameters
        if each.kind in kinds and each.default is not each.empty and each.name not in without
    }


def preset(make: Callable[..., Any], keyword: str) -> Any:
    """Gives what ``functools.partial`` set for a keyword, ``None`` where nothing did."""
    return make.keywords.get(keyword) if isinstance(make, partial) else None
