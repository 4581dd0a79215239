"""Which parameters a pattern of ``Freeze.only`` means, and what to write instead of a wrong one."""

from __future__ import annotations

from fnmatch import fnmatchcase

from fusionkit.errors import did_you_mean
from fusionkit.policy.slots import Anatomy, Slot

__all__ = ["are_patterns", "listed", "matches", "near"]


def matches(pattern: str, slot: Slot) -> bool:
    """Tells whether ``"norm"``, ``"bias"`` or a glob over names means this parameter."""
    if pattern == "norm":
        return slot.norm
    if pattern == "bias":
        return slot.bias
    return fnmatchcase(slot.name, pattern)


def near(pattern: str, anatomy: Anatomy) -> str:
    """Gives what could be written instead of a pattern that matches nothing."""
    names = [slot.name for slot in anatomy.slots]
    if pattern in ("norm", "bias"):
        return f" This branch has no {'norm layers' if pattern == 'norm' else 'biases'}."
    if not names:
        return " This branch has no parameters."
    hint = did_you_mean(pattern, ["norm", "bias", *names])
    return hint or f" Its parameters have names such as {names[0]!r} and {names[-1]!r}."


def are_patterns(patterns: object) -> bool:
    """Tells whether these are one or more texts."""
    return (
        isinstance(patterns, tuple)
        and len(patterns) > 0
        and all(isinstance(pattern, str) and pattern for pattern in patterns)
    )


def listed(names: tuple[str, ...]) -> str:
    """Gives names for an error, the middle of many left out."""
    shown = names if len(names) <= 8 else (*names[:4], "...", *names[-3:])
    return ", ".join(shown)
