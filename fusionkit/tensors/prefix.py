"""Sees when all names of a file would fit but for what stands before them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

__all__ = ["explain_prefix"]

MOST_CANDIDATES = 100
ORIGINS = {
    "module.": "DataParallel puts it there; save model.module instead",
    "_orig_mod.": "torch.compile puts it there; save model._orig_mod instead",
}


def explain_prefix(theirs: Sequence[str], ours: Sequence[str]) -> str:
    """Gives a sentence on what to do where two lists of names differ by a prefix, or nothing.

    Args:
        theirs: names of the file that the module does not have.
        ours: names of the module that the file does not have.
    """
    before = _prefix(theirs, ours)
    if before:
        origin = next((said for end, said in ORIGINS.items() if before.endswith(end)), "")
        return (
            f" The names in the file begin with {before!r:.120}, those in the model do not"
            f"{f': {origin}' if origin else ''}; or write the file again with "
            f"name.removeprefix({before!r:.120}) for each name"
        )
    before = _prefix(ours, theirs)
    if before:
        return (
            f" The names in the model begin with {before!r:.120}, those in the file do not; "
            f"write the file again with {before!r:.120} before each name, or load it into the "
            "part of the model that it belongs to"
        )
    return ""


def _prefix(longer: Sequence[str], shorter: Sequence[str]) -> str:
    """Gives what stands before at least half of the shorter names in the list of longer ones."""
    known = set(longer)
    probe = shorter[0] if shorter else ""
    candidates = (name.removesuffix(probe) for name in longer if name.endswith("." + probe))
    for before in islice(candidates, MOST_CANDIDATES):
        if 2 * sum(before + name in known for name in shorter) >= len(shorter):
            return before
    return ""
