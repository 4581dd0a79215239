"""Names in a finding."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["some"]

SHOWN = 5


def some(names: Iterable[object]) -> str:
    """Gives names with commas, each once, and at most five of them."""
    listed = list(dict.fromkeys(map(str, names)))
    return ", ".join(listed[:SHOWN]) + (", ..." if len(listed) > SHOWN else "")
