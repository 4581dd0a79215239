"""Which models are asked, in which order."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from fusionkit.testing.sweep.row import Row

__all__ = ["draw", "in_order", "matching", "smallest_of_each_family"]


def matching(models: Iterable[str], glob: str | None) -> list[str]:
    """Gives the models whose name matches, with the provider or without it."""
    return [
        model
        for model in models
        if glob is None or fnmatchcase(model, glob) or fnmatchcase(model.partition("/")[2], glob)
    ]


def draw(models: Iterable[str], count: int, seed: int) -> list[str]:
    """Gives some models drawn at random, the same for the same seed."""
    known = sorted(models)
    return random.Random(seed).sample(known, min(count, len(known)))  # noqa: S311


def smallest_of_each_family(families: Mapping[str, str], known: Mapping[str, Row]) -> list[str]:
    """Gives the model of fewest parameters in each family.

    Args:
        families: the family of each model.
        known: rows of earlier sweeps; a family of which there is none gives its first by name.
    """
    chosen: dict[str, str] = {}
    for model, family in sorted(families.items(), key=lambda pair: _size(pair[0], known)):
        chosen.setdefault(family, model)
    return sorted(chosen.values())


def in_order(families: Mapping[str, str], known: Mapping[str, Row]) -> list[str]:
    """Gives all models such that every family is seen early: its smallest, its next, and so on."""
    members: dict[str, list[str]] = defaultdict(list)
    for model in sorted(families, key=lambda model: _size(model, known)):
        members[families[model]].append(model)
    rounds = {model: turn for each in members.values() for turn, model in enumerate(each)}
    return sorted(families, key=lambda model: (rounds[model], families[model]))


def _size(model: str, known: Mapping[str, Row]) -> tuple[float, str]:
    row = known.get(model)
    return (row.parameters if row is not None and row.parameters else float("inf"), model)
