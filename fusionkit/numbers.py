"""What counts as a number in a setting: ``True`` and ``False`` do not, though Python says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

__all__ = ["are_ascending", "is_count", "is_number"]


def is_count(value: object, least: int = 1) -> TypeGuard[int]:
    """Tells whether ``value`` is a whole number, at least ``least``, and no boolean."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def are_ascending(values: Sequence[object], least: int = 0) -> TypeGuard[Sequence[int]]:
    """Tells whether all are whole numbers, at least ``least``, each larger than the one before."""
    counts = [each for each in values if is_count(each, least)]
    return len(counts) == len(values) and counts == sorted(set(counts))


def is_number(value: object) -> TypeGuard[float]:
    """Tells whether ``value`` is an ``int`` or a ``float``, finite or not, and no boolean."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
