"""Stand-ins for the settings that trainers save beside the tensors: nothing of theirs is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["KNOWN", "NotWeights", "stand_in"]

StandIn: TypeAlias = Callable[..., Any]


class NotWeights:
    """Takes whatever a pickle gives it, and does nothing.

    Attributes:
        stands_for: what is named in the pickle.
    """

    stands_for = "a setting"

    def __new__(cls, *arguments: Any, **options: Any) -> NotWeights:
        """Makes one, whatever the thing that it stands for would have been made of."""
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Forgets the state."""


def _mapping(*arguments: Any) -> dict[Any, Any]:
    return {}


def _sequence(*arguments: Any) -> list[Any]:
    return []


BUILTINS = ("bool", "dict", "float", "frozenset", "int", "list", "range", "slice", "str", "tuple")
KNOWN: dict[str, StandIn] = {
    "argparse.Namespace": NotWeights,
    "collections.defaultdict": _mapping,
    "collections.deque": _sequence,
    **{f"builtins.{name}": NotWeights for name in BUILTINS},
}
"""What is stood for always, by its dotted name."""

MODULES = ("datetime", "decimal", "numpy", "pathlib", "uuid")


def stand_in(name: str) -> StandIn | None:
    """Gives the stand-in for something that a pickle asks for, or nothing if it may be code.

    Args:
        name: dotted, such as ``"pathlib.PosixPath"``, which is not looked up.
    """
    if name.partition(".")[0] not in MODULES:
        return None
    return type("NotWeights", (NotWeights,), {"stands_for": name})
