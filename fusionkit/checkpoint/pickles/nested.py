"""Finds the state dicts in what a trainer saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

__all__ = ["ROOT", "find_states"]

ROOT = "."
MAX_DEPTH = 8


def find_states(saved: object) -> dict[str, Mapping[str, Any]]:
    """Gives every mapping that looks like a module's state, by the dotted keys that lead to it.

    A state is a mapping by text of which a value is a tensor of at least one dimension. An
    optimizer's, which stands beside its ``param_groups``, is none; nor is what a key that is no
    text leads to. The saved object itself has the key ``"."``.
    """
    return dict(_walk(saved, "", set()))


def _walk(value: object, path: str, seen: set[int]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    # One mapping may stand at many places, and in itself.
    if not isinstance(value, Mapping) or id(value) in seen or path.count(".") >= MAX_DEPTH:
        return
    seen.add(id(value))
    if not all(isinstance(key, str) for key in value):
        return
    if {"state", "param_groups"} <= value.keys():
        return
    if any(isinstance(each, Tensor) and each.ndim for each in value.values()):
        yield path or ROOT, value
    for key, each in value.items():
        yield from _walk(each, f"{path}.{key}" if path else key, seen)
