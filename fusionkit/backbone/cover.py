"""``cover_parameters``: from parameters to the modules that hold them, for stages."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

__all__ = ["cover_parameters"]


def cover_parameters(names: Iterable[str], everything: Iterable[str]) -> list[str]:
    """Gives the fewest module and parameter paths that hold exactly the given parameters.

    They are what a block of a ``Stage`` is made of.

    Args:
        names: the parameters to be held, such as those of one block.
        everything: all parameters of the trunk, in their order.
    """
    wanted = set(names)
    ordered = list(everything)
    mixed = {prefix for name in ordered if name not in wanted for prefix in _prefixes(name)}
    paths: dict[str, None] = {}
    for name in ordered:
        if name in wanted:
            paths.setdefault(
                next((prefix for prefix in _prefixes(name) if prefix not in mixed), name), None
            )
    return list(paths)


@lru_cache(maxsize=16_384)
def _prefixes(name: str) -> tuple[str, ...]:
    parts = name.split(".")
    return tuple(".".join(parts[:length]) for length in range(1, len(parts) + 1))
