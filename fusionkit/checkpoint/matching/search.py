"""``search``: the architectures that a file fits, out of all that are installed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from fusionkit.catalog import Catalog
from fusionkit.checkpoint.matching.cache import cached_layout
from fusionkit.checkpoint.matching.layout import Layout
from fusionkit.checkpoint.matching.order import family, in_order, is_hinted
from fusionkit.errors import FusionKitError
from fusionkit.tensors.renaming import Shapes, find_renamings, rename

__all__ = ["Found", "Search", "search"]

Step = Callable[[str], None]
RGB = 3
SAME = 4
"""Letters by which families are akin, such as resnet, resnetaa and resnext."""


@dataclass(frozen=True, slots=True)
class Found:
    """Architectures of one layout, held against a file.

    Attributes:
        names: ``provider/model`` of each; the one that words around the file name stands first.
        needed: how many tensors the trunk has.
        alike: how many of them have a partner of the same shape in the file.
        fits: whether all are there, under one renaming and in their shapes.
        left_over: how many tensors of the file are neither the trunk's nor its classifier's.
    """

    names: tuple[str, ...]
    needed: int
    alike: int
    fits: bool
    left_over: int

    @property
    def likeness(self) -> float:
        """From 0 to 1, where 1 is an exact fit."""
        both = self.needed + self.alike + self.left_over
        return 2 * self.alike / both if both else 0.0


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found.

    Attributes:
        found: best first; those that fit before those that do not.
        tried: how many architectures were looked at.
        failed: names of those that could not be.
        whole: whether all were.
    """

    found: tuple[Found, ...]
    tried: int
    failed: tuple[str, ...]
    whole: bool


def search(
    catalog: Catalog,
    names: list[str],
    theirs: Shapes,
    hint: str,
    *,
    everything: bool = False,
    on_step: Step = lambda name: None,
) -> Search:
    """Holds architectures against a file's names and shapes; nothing is loaded.

    Unless everything is wanted, it ends with the families akin to the first exact fit's.

    Args:
        catalog: what is installed.
        names: the architectures to try.
        theirs: the shapes of the file's tensors by name.
        hint: words around the file in which an architecture may be named.
        everything: whether to try all, also after an exact fit.
        on_step: called with each name before it is tried.
    """
    by_name: dict[str, Found] = {}
    groups: dict[tuple[str, Found], list[str]] = {}
    failed: list[str] = []

    def look(name: str) -> bool:
        """Tells whether it fits exactly."""
        on_step(name)
        try:
            layout = cached_layout(catalog.backbone(name))
        except FusionKitError:
            failed.append(name)
            return False
        by_name[name] = measure(layout, theirs)
        groups.setdefault((layout.digest, by_name[name]), []).append(name)
        return by_name[name].fits and not by_name[name].left_over

    for name in in_order(names, hint, lambda each: _likeness(by_name, each)):
        if look(name) and not everything:
            for other in names:
                tried = other in by_name or other in failed
                if not tried and family(other)[:SAME] == family(name)[:SAME]:
                    look(other)
            break
    found = [replace(each, names=_sorted(members, hint)) for (_, each), members in groups.items()]
    found.sort(key=lambda each: (not each.fits, -each.likeness, each.names))
    count = len(by_name)
    return Search(tuple(found), count, tuple(failed), count + len(failed) == len(names))


def measure(layout: Layout, theirs: Shapes) -> Found:
    """Holds one layout against a file, whoever has it, for as many channels as the file has."""
    exact = _measure(layout.shapes, layout.optional, theirs)
    if exact.fits or exact.alike == exact.needed:
        return exact
    first = [name for name, shape in layout.shapes.items() if shape[1:2] == (RGB,)]
    if exact.needed - exact.alike > len(first):
        return exact
    for count in sorted({shape[1] for shape in theirs.values() if len(shape) > 1} - {RGB}):
        shapes = {
            name: (shape[0], count, *shape[2:]) if name in first else shape
            for name, shape in layout.shapes.items()
        }
        found = _measure(shapes, layout.optional, theirs)
        if found.fits:
            return found
    return exact


def _measure(ours: Shapes, optional: tuple[str, ...], theirs: Shapes) -> Found:
    alike = sum((Counter(ours.values()) & Counter(theirs.values())).values())
    ways = find_renamings(theirs, ours) if alike == len(ours) else []
    prefixes = ways[0].as_prefixes() if ways else {}
    names = rename(list(theirs), prefixes).values()
    matched = [name in ours or any(fnmatchcase(name, glob) for glob in optional) for name in names]
    left_over = len(theirs) - (matched.count(True) if ways else alike)
    return Found((), len(ours), alike, bool(ways), left_over)


def _likeness(by_name: dict[str, Found], name: str) -> float:
    return by_name[name].likeness if name in by_name else 0.0


def _sorted(names: list[str], hint: str) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: (not is_hinted(name, hint), len(name), name)))
