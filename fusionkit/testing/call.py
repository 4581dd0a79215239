"""Calls a factory with as much as it takes, and says what it does not take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

__all__ = ["accepted_keywords", "call_with", "preset"]


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


def preset(make: Callable[..., Any], keyword: str) -> Any:
    """Gives what ``functools.partial`` set for a keyword, ``None`` where nothing did."""
    return make.keywords.get(keyword) if isinstance(make, partial) else None
