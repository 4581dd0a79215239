"""``EditReport``: what of a model stayed when it was edited, and what is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from fusionkit.errors import some_of

__all__ = ["EditReport"]


@dataclass(frozen=True, slots=True)
class EditReport:
    """What became of every tensor of the old model and of the new one; ``print`` it.

    Attributes:
        kept: names that both have, with the old one's values.
        fresh: names of the new model that were not taken from the old one: of a new branch, as
            its weights say; of the head, random, to be trained.
        left: names of the old model that are not in the new one, or that mean something else
            there.
        reshaped: (name, old shape, new shape) of the head's that both have in another shape;
            they are in ``fresh`` and ``left`` too.
    """

    kept: tuple[str, ...]
    fresh: tuple[str, ...]
    left: tuple[str, ...]
    reshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @classmethod
    def compare(
        cls, old: Mapping[str, Tensor], new: Mapping[str, Tensor], kept: Sequence[str]
    ) -> EditReport:
        """Gives the report on two models by their tensors and the names that were kept."""
        known = set(kept)
        return cls(
            kept=tuple(name for name in new if name in known),
            fresh=tuple(name for name in new if name not in known),
            left=tuple(name for name in old if name not in known),
            reshaped=tuple(
                (name, tuple(old[name].shape), tuple(new[name].shape))
                for name in new
                if name.startswith("head.") and name in old and old[name].shape != new[name].shape
            ),
        )

    def to_data(self) -> dict[str, Any]:
        """Gives the same as JSON-able data."""
        return asdict(self)

    def __str__(self) -> str:
        """Gives a table: how many names of each kind, and by the part that they belong to."""
        rows = [
            f"  {kind:<9} {len(names):>6}  {_parts(names)}".rstrip()
            for kind, names in (("kept", self.kept), ("fresh", self.fresh), ("left", self.left))
        ]
        shapes = [f"{name} {old} -> {new}" for name, old, new in self.reshaped]
        if shapes:
            rows.append(f"  {'reshaped':<9} {len(shapes):>6}  {some_of(shapes)}")
        return "\n".join(rows)


def _parts(names: Sequence[str]) -> str:
    """Counts names by branch, and those of the head."""
    counts: dict[str, int] = {}
    for name in names:
        first, _, rest = name.partition(".")
        part = rest.partition(".")[0] if first == "branches" else first
        counts[part] = counts.get(part, 0) + 1
    return ", ".join(f"{part} ({count})" for part, count in counts.items())
