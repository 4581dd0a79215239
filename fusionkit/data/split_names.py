"""Names of splits, some of which mean the same."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["call_split", "find_split"]

SAME = {"val": ("val", "validation", "valid")}
OURS = {other: name for name, others in SAME.items() for other in others}


def call_split(name: str) -> str:
    """Gives what a split is called here: ``val`` for one that is called ``validation``, say."""
    return OURS.get(name, name)


def find_split(split: str, is_there: Callable[[str], bool]) -> str | None:
    """Gives what a split is called where it lies; ``None`` where there is none."""
    return next((name for name in SAME.get(split, (split,)) if is_there(name)), None)
