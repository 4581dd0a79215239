"""In which order architectures are held against a file: the likeliest first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

__all__ = ["family", "in_order", "is_hinted"]


def in_order(names: Sequence[str], hint: str, likeness: Callable[[str], float]) -> Iterator[str]:
    """Gives every name once: hinted ones, one of each family, then families by their likeness.

    Args:
        names: ``provider/model`` of all architectures.
        hint: words around the file, such as its name, in which a model may be named.
        likeness: of an architecture that was given already to the file, from 0 to 1.
    """
    given: dict[str, None] = {}

    def fresh(some: Sequence[str]) -> Iterator[str]:
        for name in some:
            if name not in given:
                given[name] = None
                yield name

    hinted = [name for name in names if is_hinted(name, hint)]
    yield from fresh(sorted(hinted, key=lambda name: (-len(name), name)))
    families = {key: list(group) for key, group in groupby(sorted(names, key=family), family)}
    for key in {family(name): None for name in given}:
        yield from fresh(families[key])
    yield from fresh([min(group, key=len) for group in families.values()])

    def best(key: str) -> float:
        return max((likeness(name) for name in families[key] if name in given), default=0.0)

    for key in sorted(families, key=best, reverse=True):
        yield from fresh(families[key])


def is_hinted(name: str, hint: str) -> bool:
    """Tells whether the words around a file name a model."""
    model = _words(name.partition("/")[2])
    return len(model) > 2 and f"_{model}_" in f"_{_words(hint)}_"


def _words(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def family(name: str) -> str:
    """Gives the first letters of a model's name, whoever provides it, such as ``"resnet"``."""
    letters = re.match(r"[a-z]*", name.rpartition("/")[2].lower())
    return letters[0] if letters else ""
