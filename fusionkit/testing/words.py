"""Names in a finding."""

from __future__ import annotations

from collections.abc import Iterable

from fusionkit.errors import some_of

__all__ = ["some"]

SHOWN = 5


def some(names: Iterable[object]) -> str:
    """Gives names with commas, each once, and at most five of them."""
    return some_of(dict.fromkeys(map(str, names)), SHOWN)
