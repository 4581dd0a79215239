"""The table that a comparison ends with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from torch import nn

from fusionkit.runs.spread import spread

__all__ = ["Line", "count_trainable", "table"]


@dataclass(frozen=True, slots=True)
class Line:
    """One model of a comparison.

    Attributes:
        title: what it is.
        accuracies: in [0, 1], one for each repetition.
        trainable: parameters that learn.
        seconds: of training.
        choice: the accuracy that the winner was chosen by, where that is another one.
    """

    title: str
    accuracies: Sequence[float]
    trainable: int
    seconds: float
    choice: float | None = None


def table(lines: Sequence[Line], *, title: str | None = None, won: str | None = None) -> Table:
    """Gives a table of at most 80 columns; the line whose title is ``won`` stands out."""
    shows_choice = any(line.choice is not None for line in lines)
    grid = Table(title=title, title_justify="left", expand=False)
    grid.add_column("")
    if shows_choice:
        grid.add_column("validation", justify="right")
    grid.add_column("accuracy", justify="right")
    grid.add_column("trainable", justify="right")
    grid.add_column("seconds", justify="right")
    for line in lines:
        cells = [line.title]
        if shows_choice:
            cells.append("" if line.choice is None else f"{line.choice:.3f}")
        cells += [spread(line.accuracies), f"{line.trainable:,}", f"{line.seconds:.1f}"]
        grid.add_row(*cells, style="bold green" if line.title == won else None)
    return grid


def count_trainable(model: nn.Module) -> int:
    """Gives how many parameters learn, of a fused model those at the epoch that it is at."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
