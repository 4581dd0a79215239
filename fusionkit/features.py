"""What one forward pass of a backbone yields, and how a head says which of it it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

from fusionkit.errors import AssemblyError, ConfigError

__all__ = ["Features", "Reads"]


class Features(NamedTuple):
    """The output of one backbone; what was not asked for is ``None`` or empty.

    Attributes:
        vector: "b d", the model's own pooled embedding, what its classifier would see.
        maps: one "b c h w" for each level asked for, fine to coarse.
        logits: "b k", the scores of the stock classifier, before any softmax.
    """

    vector: Tensor | None = None
    maps: tuple[Tensor, ...] = ()
    logits: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Reads:
    """What a head reads of one branch; only that is computed.

    Attributes:
        vector: whether the pooled embedding is read.
        maps: the levels whose maps are read, as indices into ``Backbone.levels``
            (negative ones count from the coarsest), or ``"all"``.
        logits: whether the stock classifier's scores are read.
    """

    vector: bool = False
    maps: tuple[int, ...] | Literal["all"] = ()
    logits: bool = False

    def __post_init__(self) -> None:
        if self.maps == "all":
            return
        if not isinstance(self.maps, (list, tuple)) or not all(map(_is_index, self.maps)):
            raise ConfigError(
                "Reads.maps takes indices of levels, for example (0, -1), or 'all'; "
                f"got {self.maps!r}"
            )
        object.__setattr__(self, "maps", tuple(self.maps))

    @classmethod
    def parse(cls, text: str) -> Reads:
        """Reads the short forms ``"vector"``, ``"maps"`` (all levels) and ``"logits"``."""
        if text == "vector":
            return cls(vector=True)
        if text == "maps":
            return cls(maps="all")
        if text == "logits":
            return cls(logits=True)
        raise ConfigError(
            f"a head cannot read {text!r}: write 'vector', 'maps', 'logits' or a fusionkit.Reads"
        )

    @property
    def levels(self) -> tuple[int, ...]:
        """The levels by index, after ``resolve``."""
        if isinstance(self.maps, str):
            raise AssemblyError("which levels 'all' are is known only after Reads.resolve")
        return self.maps

    def resolve(self, level_count: int) -> Reads:
        """Gives the same request with its levels as ascending, non-negative indices.

        Raises:
            AssemblyError: a level is outside ``range(-level_count, level_count)``, or maps are
                read where there are none.
        """
        if self.maps and level_count == 0:
            raise AssemblyError(
                "the backbone has no maps; take a head that reads vectors, or another backbone"
            )
        wanted = range(level_count) if self.maps == "all" else self.maps
        for level in wanted:
            if not -level_count <= level < level_count:
                raise AssemblyError(
                    f"level {level} does not exist: the backbone has {level_count} "
                    f"level{'s' if level_count != 1 else ''} of maps"
                )
        levels = tuple(sorted({level % level_count for level in wanted}))
        return Reads(vector=self.vector, maps=levels, logits=self.logits)


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
