"""Every error that fusionkit raises on purpose, and the words that they share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from itertools import islice

__all__ = [
    "AssemblyError",
    "CacheError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DistributedError",
    "FusionKitError",
    "OptionError",
    "PluginError",
    "PolicyError",
    "ResumeError",
    "TrainingError",
    "did_you_mean",
    "near_names",
    "some_of",
    "suggest_names",
]

LONGEST_NAME = 200
"""A longer name is no typo, and comparing it takes long."""


class FusionKitError(Exception):
    """The root of the tree: catch it to catch everything that fusionkit refuses."""


class ConfigError(FusionKitError, ValueError):
    """A recipe, an argument or a name is wrong as it was written."""


class OptionError(ConfigError, TypeError):
    """A backbone or head was given an option that it does not know, or lacks one."""


class PluginError(FusionKitError):
    """A plugin is missing, broken, blocked, or clashes with another."""


class AssemblyError(FusionKitError):
    """A backbone or head breaks its contract, or the parts do not fit each other."""


class PolicyError(FusionKitError, ValueError):
    """A freeze or learning-rate policy does not fit the branch that it was given to."""


class CheckpointError(FusionKitError):
    """A file is not what it claims to be, or does not fit the model that it is loaded into."""


class DataError(FusionKitError):
    """An input is missing, of the wrong shape, or not finite; or data on disk cannot be read."""


class CacheError(FusionKitError):
    """Features cannot be cached, or what lies in a cache is not what it claims to be."""


class ResumeError(FusionKitError):
    """A run cannot go on from a checkpoint: it is damaged, or data or settings have changed."""


class TrainingError(FusionKitError):
    """A training has diverged, or there is nothing that it could train."""


class DistributedError(FusionKitError):
    """Processes that train together do not do the same."""


def some_of(names: Collection[object], most: int = 3) -> str:
    """Gives the first of some names with commas between them, and ``...`` for the rest."""
    return ", ".join(map(str, islice(names, most))) + (", ..." if len(names) > most else "")


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Gives ``" Did you mean 'a' or 'b'?"`` with up to three near names, or an empty string.

    Upper and lower case count as the same letter.

    Args:
        name: what was written.
        known: what could have been meant.
        prefix: shown before each near name, and not compared.
    """
    return suggest_names([prefix + near for near in near_names(name, known)])


def near_names(name: str, known: Iterable[str]) -> list[str]:
    """Gives the names that are written much like one, the nearest first."""
    if len(name) > LONGEST_NAME:
        return []
    by_lower: dict[str, list[str]] = {}
    for candidate in dict.fromkeys(known):
        by_lower.setdefault(candidate.lower(), []).append(candidate)
    near = get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    return [each for lower in near for each in by_lower[lower]]


def suggest_names(names: Sequence[str], most: int = 3) -> str:
    """Gives ``" Did you mean 'a' or 'b'?"`` with the first of some names, or an empty string."""
    quoted = [repr(name) for name in names[:most]]
    if not quoted:
        return ""
    listed = quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " or " + quoted[-1]
    return f" Did you mean {listed}?"
