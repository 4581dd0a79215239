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
    "is_classifier",
    "nearest_renaming",
    "rename",
]

Shapes = Mapping[str, tuple[int, ...]]

MOST_CANDIDATES = 100
MOST_BEGINNINGS = 4
MOST_NAMES = 20_000
"""Of a file: with more, advice would take seconds."""


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
    fitting = [each for each in _candidates(theirs, ours) if _fits(each, theirs, ours)]
    return [each for each in fitting if not (each.strip and each.add)] or fitting


def explain_renaming(theirs: Shapes, ours: Shapes, outputs: int | None = None) -> str:
    """Says under which renaming most of our names are found, or gives an empty string.

    That is worth telling only where it is more than half, and more than without one.

    Args:
        theirs: the shapes of a file's tensors by name.
        ours: those of a module, of which each must be found.
        outputs: how many classes the module tells apart, if it has a classifier.
    """
    best = nearest_renaming(theirs, ours, outputs)
    if not best:
        return ""
    found = _found(best, theirs, ours)
    said = f"with rename={best!r} it has {len(found)} of the {len(ours)} tensors"
    first = next((name for name in ours if name not in found), None)
    if first is None:
        return f"{said}; if that is meant, write Weights(..., rename={best!r})"
    there = {new: theirs[old] for old, new in rename(list(theirs), best).items()}.get(first)
    lacking = {name: shape for name, shape in ours.items() if name not in found}
    if is_classifier(lacking, outputs) and not there:
        return (
            f"{said}, but {first!r:.200} is missing: it has no classifier of {outputs} classes; "
            f"without classifier=True the head makes a new one: Weights(..., rename={best!r})"
        )
    what = f"has shape {there} in the file, {ours[first]} in the model" if there else "is missing"
    option = f"resize=[{first!r:.200}]" if there else "missing=[...]"
    return (
        f"{said}, but {first!r:.200} {what}; if that is meant, write the exceptions down: "
        f"Weights(..., rename={best!r}, {option})"
    )


def nearest_renaming(theirs: Shapes, ours: Shapes, outputs: int | None = None) -> dict[str, str]:
    """Gives what would have to take the place of which beginnings for most of our names.

    That may be several beginnings, where nothing is left over then: a classifier, which trainers
    call as they like, is known by its width. It is nothing where it is not more than half of the
    names, and more than without.
    """
    if len(theirs) > MOST_NAMES:
        return {}
    ways: list[Renaming] = []
    left, free = dict(ours), dict(theirs)
    while left and len(ways) < MOST_BEGINNINGS:
        last = is_classifier(left, outputs)
        best = _best(free if last else theirs, left, words=1 if last else 2)
        found = [n for n, shape in left.items() if _is_found(best, n, shape, theirs)]
        if not found:
            break
        ways.append(best)
        for name in found:
            free.pop(_original(best, name), None)
            left.pop(name)
    pairs = {old: new for way in ways for old, new in way.as_prefixes().items()}
    several = {old: pairs[old] for old in sorted(pairs, key=len, reverse=True)}
    if len(_found(several, theirs, ours)) == len(ours):
        return several
    one = ways[0].as_prefixes() if ways else {}
    count = len(_found(one, theirs, ours))
    worth = 2 * count > len(ours) and count > _matched(Renaming(), theirs, ours)
    return one if worth else {}


def is_classifier(shapes: Shapes, outputs: int | None) -> bool:
    """Tells whether these are the tensors of one layer that gives so many scores."""
    layers = {name.rpartition(".")[0] for name in shapes}
    return len(layers) == 1 and all(shape[:1] == (outputs,) for shape in shapes.values())


def _best(theirs: Shapes, ours: Shapes, words: int = 2) -> Renaming:
    ways = [*_candidates(theirs, ours, words), Renaming()]
    return max(ways, key=lambda each: _matched(each, theirs, ours))


def _found(prefixes: Mapping[str, str], theirs: Shapes, ours: Shapes) -> set[str]:
    """Gives our names that are found with their shapes, and no two of theirs for one."""
    new = rename(list(theirs), prefixes)
    twice = {name for name, count in Counter(new.values()).items() if count > 1}
    return {name for old, name in new.items() if ours.get(name) == theirs[old]} - twice


def _candidates(theirs: Shapes, ours: Shapes, words: int = 2) -> list[Renaming]:
    """Gives the renamings for which one name of ours speaks, the likeliest first.

    Args:
        theirs: the shapes of a file's tensors by name.
        ours: those of a module.
        words: how many of the last ones two names must share.
    """
    found: Counter[Renaming] = Counter()
    for probe in _probes(ours):
        ends = [probe, *_shorter(probe, words)]
        for name in theirs:
            if name == probe:
                continue
            if probe.endswith("." + name):
                found[Renaming(add=probe.removesuffix(name))] += 1
                continue
            end = next((each for each in ends if name.endswith("." + each)), None)
            if end is not None:
                way = Renaming(name.removesuffix(end), probe.removesuffix(end))
                found[way] += 1
    return [each for each, _ in found.most_common(MOST_CANDIDATES)]


def _shorter(name: str, least: int) -> list[str]:
    """Gives what is left of a name without its first word, its first two, down to the last ones."""
    words = name.split(".")
    return [".".join(words[start:]) for start in range(1, len(words) + 1 - least)]


def _probes(ours: Shapes) -> Sequence[str]:
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
