"""Every failure that is known, with its cause; one that passes after all is a failure itself."""

from __future__ import annotations

from fnmatch import fnmatchcase

__all__ = ["KNOWN", "known_failures"]

KNOWN: tuple[tuple[str, str, str], ...] = ()
"""A glob over ``provider/name``, the name of a check, and the cause."""


def known_failures(model: str) -> dict[str, str]:
    """Gives the causes of a model's known failures by the name of the check."""
    return {check: cause for glob, check, cause in KNOWN if fnmatchcase(model, glob)}
