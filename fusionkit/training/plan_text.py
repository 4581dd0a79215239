"""Sets a plan as a table of text that fits the terminal."""

from __future__ import annotations

from shutil import get_terminal_size
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusionkit.training.planning import Plan, PlanRow

__all__ = ["format_plan"]

FROZEN = "."
WAITS = "?"
GAP = "  "


def format_plan(plan: Plan, width: int | None = None) -> str:
    """Gives a line for each stage and a column for each epoch, or for those that fit.

    A dot stands for a frozen stage, a question mark for one that thaws when a metric stalls,
    from the first epoch on at which that can be. Epochs in which something thaws are kept when
    not all of them fit.

    Args:
        plan: what to show.
        width: in characters; by default the terminal's, at most 100.
    """
    room = width or min(100, get_terminal_size(fallback=(100, 24)).columns)
    names = [_name(row) for row in plan.rows]
    branches = [row.branch for row in plan.rows]
    first = max(map(len, [*names, *branches, "epoch"]))
    cells = [[_cell(row, epoch) for epoch in range(plan.epochs)] for row in plan.rows]
    figure = max(len(cell) for row in cells for cell in row)
    columns = _columns(plan, max(2, (room - first) // (max(figure, 3) + len(GAP))))
    widths = [max(len(str(epoch)), *(len(row[epoch]) for row in cells)) for epoch in columns]

    def line(name: str, figures: list[str]) -> str:
        padded = [text.rjust(each) for text, each in zip(figures, widths, strict=True)]
        return GAP.join([name.ljust(first), *padded]).rstrip()

    lines = [line("epoch", [str(epoch) for epoch in columns])]
    before = ""
    for row, name, figures in zip(plan.rows, names, cells, strict=True):
        if row.branch != before:
            lines += [""] if row.branch == "head" else ["", row.branch]
            before = row.branch
        lines.append(line(name, [figures[epoch] for epoch in columns]))
    return "\n".join(lines + _notes(plan, len(columns)))


def _name(row: PlanRow) -> str:
    return f"  {row.stage}" if row.stage else row.branch


def _cell(row: PlanRow, epoch: int) -> str:
    if row.rates[epoch] > 0:
        return f"{row.rates[epoch]:.1e}".replace("e-0", "e-")
    return WAITS if row.waits is not None and epoch >= row.waits else FROZEN


def _columns(plan: Plan, most: int) -> list[int]:
    """Gives the epochs to show: the first, the last, those of thaws, then evenly spaced ones."""
    if plan.epochs <= most:
        return list(range(plan.epochs))
    kept = {0, plan.epochs - 1}
    for epoch in range(1, plan.epochs):
        thaws = any(bool(row.rates[epoch]) != bool(row.rates[epoch - 1]) for row in plan.rows)
        if (thaws or any(row.waits == epoch for row in plan.rows)) and len(kept) < most:
            kept.add(epoch)
    for index in range(most):
        if len(kept) == most:
            break
        kept.add(round(index * (plan.epochs - 1) / (most - 1)))
    return sorted(kept)


def _notes(plan: Plan, shown: int) -> list[str]:
    notes = []
    if any(rate == 0 for row in plan.rows for rate in row.rates):
        notes.append(f"{FROZEN} frozen")
    metrics = sorted({row.metric for row in plan.rows if row.metric})
    if metrics:
        notes.append(f"{WAITS} thaws when {' or '.join(metrics)} stalls")
    if shown < plan.epochs:
        notes.append(f"{shown} of {plan.epochs} epochs are shown")
    return ["", "; ".join(notes)] if notes else []
