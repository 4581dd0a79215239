"""Every failure that is known, with its cause; one that passes after all is a failure itself."""

from __future__ import annotations

from fnmatch import fnmatchcase

__all__ = ["KNOWN", "known_failures"]

CONVIT = "timm fills a buffer that is not saved, of patch positions, in the first forward pass"

KNOWN: tuple[tuple[str, str, str], ...] = (
    ("timm/convit_*", "eval_has_no_side_effects", CONVIT),
    ("timm/convit_*", "frozen_branch_keeps_every_bit", CONVIT),
)
"""A glob over ``provider/name``, the name of a check, and the cause."""


def known_failures(model: str) -> dict[str, str]:
    """Gives the causes of a model's known failures by the name of the check."""
    return {check: cause for glob, check, cause in KNOWN if fnmatchcase(model, glob)}
