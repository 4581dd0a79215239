"""Which levels of a branch's maps a head reads, and where it then finds each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import final

from torch import Tensor, nn

from fusionkit import AssemblyError, ConfigError, HeadInput, Reads

__all__ = ["EachLevel", "find_level", "find_places", "read_levels"]


def find_level(branch: str, given: HeadInput, level: object, option: str = "level") -> int:
    """Gives a level counted from the finest, from one that may count from the coarsest.

    Args:
        branch: whose level it is, for errors.
        given: what the branch offers.
        level: -1 is the coarsest.
        option: the option's name, for the error.

    Raises:
        AssemblyError: the branch has no maps, or not this level.
        ConfigError: ``level`` is no whole number.
    """
    if not given.levels:
        raise AssemblyError(
            f"branch {branch!r} has no maps, which this head reads; choose a backbone that has "
            "maps, or a head that reads vectors or scores: 'concat' or 'two_stream'"
        )
    if not isinstance(level, int) or isinstance(level, bool):
        raise ConfigError(
            f"option {option} takes a whole number, -1 for the coarsest maps, got {level!r}"
        )
    count = len(given.levels)
    if not -count <= level < count:
        raise AssemblyError(
            f"branch {branch!r} has no level {level}: it has {count} "
            f"level{'s' if count != 1 else ''} of maps, so {option} is {-count} to {count - 1}"
        )
    return level % count


def read_levels(chosen: Mapping[str, Iterable[int]]) -> dict[str, Reads]:
    """Gives what a head reads that reads these levels, counted from the finest, by branch."""
    return {name: Reads(maps=tuple(sorted(set(levels)))) for name, levels in chosen.items()}


def find_places(reads: Mapping[str, Reads], levels: Mapping[str, int]) -> dict[str, int]:
    """Gives where in ``Features.maps`` the map of one level lies, by branch."""
    return {name: reads[name].levels.index(level) for name, level in levels.items()}


@final
class EachLevel(nn.ModuleList):
    """Gives what each of its modules makes of the map, or pooled map, of its own level."""

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Gives one tensor for each level."""
        return [module(x) for module, x in zip(self, levels, strict=True)]
