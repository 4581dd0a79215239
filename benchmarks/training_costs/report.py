"""Lines of what was found, and whether each bound is met."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

__all__ = ["Line", "format_lines", "missed"]


@dataclass(frozen=True, slots=True)
class Line:
    """One figure.

    Attributes:
        title: what was compared.
        ours: of fusionkit.
        theirs: of what it is compared with.
        unit: of both.
        bound: the most that their ratio may be; ``None`` where it is only told.
    """

    title: str
    ours: float
    theirs: float
    unit: str = "s"
    bound: float | None = None

    @property
    def ratio(self) -> float:
        """Ours by theirs."""
        return self.ours / self.theirs

    @property
    def met(self) -> bool:
        """Whether the bound is met; where there is none it is."""
        return self.bound is None or self.ratio <= self.bound


def format_lines(heading: str, lines: list[Line], judged: bool) -> str:
    """Gives the table of one comparison."""
    width = max(len(line.title) for line in lines)
    rows = textwrap.wrap(heading, 100)
    for line in lines:
        verdict = ""
        if line.bound is not None:
            verdict = f"  at most {line.bound:.2f}"
            if judged:
                verdict += ": met" if line.met else ": MISSED"
        rows.append(
            f"  {line.title:<{width}} {line.ours:>9.3f} of {line.theirs:>9.3f} {line.unit:<3} "
            f"= {line.ratio:.3f}{verdict}"
        )
    return "\n".join(rows)


def missed(lines: list[Line]) -> list[Line]:
    """Gives the lines whose bound is not met."""
    return [line for line in lines if not line.met]
