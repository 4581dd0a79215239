"""Plain data: what JSON and YAML both hold, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fusionkit.errors import ConfigError

__all__ = ["MAX_DEPTH", "copy_plain"]

MAX_DEPTH = 32
"""How deep lists and mappings may be nested in a recipe's text."""

MAX_INT = 10**1000
MAX_KEY = 200


def copy_plain(value: object, where: str, depth: int = MAX_DEPTH) -> Any:
    """Gives a copy that a file can hold and give back equal; a tuple becomes a list.

    Args:
        value: numbers, strings, booleans, ``None``, lists, tuples and mappings of these.
        where: the path that errors name.
        depth: how deep lists and mappings may be nested.

    Raises:
        ConfigError: names the path of what a file cannot hold.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _plain_text(value, where)
    if isinstance(value, int):
        if abs(value) >= MAX_INT:
            raise ConfigError(f"{where}: the whole number is too long")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError(f"{where}: {float(value)} is not a number that JSON can hold")
        return float(value)
    if isinstance(value, (list, tuple, Mapping)) and depth == 0:
        raise ConfigError(f"{where[:200]}: nested too deep")
    if isinstance(value, (list, tuple)):
        return [copy_plain(item, f"{where}[{i}]", depth - 1) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {
            _plain_key(key, where): copy_plain(item, f"{where}.{key}", depth - 1)
            for key, item in value.items()
        }
    raise ConfigError(
        f"{where}: a {type(value).__name__} cannot stand in a file; "
        "write numbers, strings, booleans, lists or mappings"
    )


def _plain_text(value: str, where: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(
            f"{where}: {value[:80]!r} is not text: it holds half a character"
        ) from None
    return str.__str__(value)


def _plain_key(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise ConfigError(f"{where}: a key must be text, got {key!r:.80}")
    if len(key) > MAX_KEY:
        raise ConfigError(f"{where}: a key of {len(key):,} characters, {key[:40]!r}...")
    return _plain_text(key, where)
