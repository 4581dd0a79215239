"""``Renaming``: what stands before the names of a file, or is missing there; found by evidence.

Trainers and wrappers put words before the names: ``module.``, ``_orig_mod.``, ``model.``,
``backbone.``, ``encoder_q.``. No list of such words is kept. What counts is that under one
renaming, and under no other, every name of the module is found with its shape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "Renaming",
    "Shapes",
    "explain_renaming",
    "find_renamings",
    "nearest_renaming",
    "rename",
]

Shapes = Mapping[str, tuple[int, ...]]

MOST_CANDIDATES = 100


@dataclass(frozen=True, slots=True)
class Renaming:
    """One way from the names of a file to those of a module.

    Attributes:
        strip: what is taken from the beginning of each name that begins so.
        add: what is put before it then.
    """

    strip: str = ""
    add: str = ""

    def as_prefixes(self) -> dict[str, str]:
        """Gives it in the form of ``rename``."""
        return {self.strip: self.add} if self.strip or self.add else {}


def find_renamings(theirs: Shapes, ours: Shapes) -> list[Renaming]:
    """Gives every renaming under which all of our names are found with their shapes.

    If the names fit as they are, that alone is given.

    Args:
        theirs: the shapes of a file's tensors by name.
        ours: those of a module, of which each must be found.
    """
    if not ours or _fits(Renaming(), theirs, ours):
        return [Renaming()]
    return [each for each in _candidates(theirs, ours) if _fits(each, theirs, ours)]


def explain_renaming(theirs: Shapes, ours: Shapes) -> str:
    """Says under which renaming most of our names are found, or gives an empty string.

    That is worth telling only where it is more than half, and more than without one.
    """
    best = nearest_renaming(theirs, ours)
    if best is None:
        return ""
    count = _matched(best, theirs, ours)
    first = next(name for name, shape in ours.items() if not _is_found(best, name, shape, theirs))
    there = theirs.get(_original(best, first))
    what = f"has shape {there} in the file, {ours[first]} in the model" if there else "is missing"
    option = f"resize=[{first!r:.200}]" if there else "missing=[...]"
    return (
        f"with rename={best.as_prefixes()!r} it has {count} of the {len(ours)} tensors, but "
        f"{first!r:.200} {what}; if that is meant, write the exceptions down: "
        f"Weights(..., rename={best.as_prefixes()!r}, {option})"
    )


def nearest_renaming(theirs: Shapes, ours: Shapes) -> Renaming | None:
    """Gives the renaming under which most of our names are found.

    There is none where that is not more than half, and more than without one.
    """
    best = max(
        _candidates(theirs, ours), key=lambda each: _matched(each, theirs, ours), default=Renaming()
    )
    count = _matched(best, theirs, ours)
    worth = 2 * count > len(ours) and count > _matched(Renaming(), theirs, ours)
    return best if worth else None


def _candidates(theirs: Shapes, ours: Shapes) -> list[Renaming]:
    """Gives the renamings for which one name of ours speaks, the likeliest first."""
    found: Counter[Renaming] = Counter()
    for probe in _probes(theirs, ours):
        for name in theirs:
            if name.endswith("." + probe):
                found[Renaming(strip=name.removesuffix(probe))] += 1
            elif probe.endswith("." + name):
                found[Renaming(add=probe.removesuffix(name))] += 1
    return [each for each, _ in found.most_common(MOST_CANDIDATES)]


def _probes(theirs: Shapes, ours: Shapes) -> Sequence[str]:
    """Gives a few of our names: of the longest, which are the least likely to fit by chance."""
    ordered = sorted(ours, key=lambda name: (-name.count("."), -len(name), name))
    return ordered[:: max(len(ordered) // 8, 1)][:8]


def _fits(renaming: Renaming, theirs: Shapes, ours: Shapes) -> bool:
    return _matched(renaming, theirs, ours) == len(ours)


def _matched(renaming: Renaming, theirs: Shapes, ours: Shapes) -> int:
    """Counts our names that are found with their shapes."""
    return sum(_is_found(renaming, name, shape, theirs) for name, shape in ours.items())


def _is_found(renaming: Renaming, name: str, shape: tuple[int, ...], theirs: Shapes) -> bool:
    return name.startswith(renaming.add) and theirs.get(_original(renaming, name)) == shape


def _original(renaming: Renaming, name: str) -> str:
    return renaming.strip + name[len(renaming.add) :]


def rename(names: Sequence[str], prefixes: Mapping[str, str]) -> dict[str, str]:
    """Gives the new form of each name by the longest prefix that is given for it.

    Args:
        names: of a file.
        prefixes: what takes the place of each beginning; names that begin otherwise stay.
    """
    ordered = sorted(prefixes, key=len, reverse=True)
    renamed = {}
    for name in names:
        old = next((prefix for prefix in ordered if name.startswith(prefix)), None)
        renamed[name] = name if old is None else prefixes[old] + name[len(old) :]
    return renamed
