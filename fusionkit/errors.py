"""Every error that fusionkit raises on purpose, and the words that they share."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "AssemblyError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "FusionKitError",
    "OptionError",
    "PluginError",
    "PolicyError",
    "did_you_mean",
]


class FusionKitError(Exception):
    """The root of the tree: catch it to catch everything that fusionkit refuses."""


class ConfigError(FusionKitError):
    """A recipe, an argument or a name is wrong as it was written."""


class OptionError(ConfigError, TypeError):
    """A backbone or head was given an option that it does not know, or lacks one."""


class PluginError(FusionKitError):
    """A plugin is missing, broken, blocked, or clashes with another."""


class AssemblyError(FusionKitError):
    """A backbone or head breaks its contract, or the parts do not fit each other."""


class PolicyError(FusionKitError):
    """A freeze or learning-rate policy does not fit the branch that it was given to."""


class CheckpointError(FusionKitError):
    """A file is not what it claims to be, or does not fit the model that it is loaded into."""


class DataError(FusionKitError):
    """An input of a forward pass is missing, of the wrong shape, or not finite."""


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Gives ``" Did you mean 'a' or 'b'?"`` with up to three near names, or an empty string.

    Args:
        name: what was written.
        known: what could have been meant.
        prefix: shown before each near name, and not compared.
    """
    near = get_close_matches(name, list(known), n=3, cutoff=0.6)
    if not near:
        return ""
    quoted = [repr(prefix + candidate) for candidate in near]
    listed = quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " or " + quoted[-1]
    return f" Did you mean {listed}?"
