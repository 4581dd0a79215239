"""Sets a summary as lines that fit the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusionkit.model.summary import Summary, SummaryRow

__all__ = ["layout"]

LEAST_NAME = 12
GAP = "  "


def layout(summary: Summary, width: int) -> list[tuple[str, str]]:
    """Gives each line with rich's name of its style; none is longer than ``width`` allows.

    A branch is a heading, a line for each stage, and one for them all. Where the width is short,
    the names of stages lose their beginnings; figures and notes are never cut.
    """
    headings = ("params", "trainable", "share", "lr" if summary.absolute else "lr x")
    figures = [_figures(row) for row in summary.rows]
    widths = [max(map(len, column)) for column in zip(headings, *figures, strict=True)]
    notes = max((len(row.note) for row in summary.rows if row.stage), default=0)
    room = width - sum(widths) - len(GAP) * (len(widths) + 1) - notes
    names = [f"epoch {summary.epoch}", *(_name(row) for row in summary.rows)]
    name_width = min(max(map(len, names)), max(room, LEAST_NAME))

    def line(name: str, cells: tuple[str, ...], note: str = "") -> str:
        if len(name) > name_width:
            indent = "  " if name.startswith("  ") else ""
            name = f"{indent}\N{HORIZONTAL ELLIPSIS}{name[len(indent) + 1 - name_width :]}"
        padded = [cell.rjust(each) for cell, each in zip(cells, widths, strict=True)]
        return GAP.join([name.ljust(name_width), *padded, note]).rstrip()

    lines = [(line(names[0], headings), "bold")]
    for branch in _by_branch(summary.rows):
        whole, stages = branch[0], branch[1:]
        if not stages:
            lines += [("", ""), (line(_name(whole), _figures(whole), whole.note), "bold")]
            continue
        lines += [("", ""), (whole.branch, "bold")]
        lines += [(text, "dim") for text in _wrapped(whole.note, width)]
        lines += [(line(_name(row), _figures(row), row.note), "") for row in stages]
        lines.append((line("  all", _figures(whole)), "bold"))
    return lines


def _by_branch(rows: tuple[SummaryRow, ...]) -> Iterator[list[SummaryRow]]:
    """Gives the rows of each branch, the one of the whole first."""
    group: list[SummaryRow] = []
    for row in rows:
        if not row.stage and group:
            yield group
            group = []
        group.append(row)
    yield group


def _name(row: SummaryRow) -> str:
    if row.stage:
        return f"  {row.stage}"
    return row.branch if row.branch in ("head", "total") else ""


def _figures(row: SummaryRow) -> tuple[str, ...]:
    share = f"{row.trainable / row.parameters:.0%}" if row.parameters else "-"
    if row.trainable and share == "0%":
        share = "<1%"
    return f"{row.parameters:,}", f"{row.trainable:,}", share, _rate(row.rate)


def _rate(rate: tuple[float, float] | None) -> str:
    if rate is None:
        return "-"
    low, high = rate
    return f"{high:.3g}" if low == high else f"{low:.2g}..{high:.2g}"


def _wrapped(note: str, width: int) -> list[str]:
    return wrap(note, width, initial_indent="  ", subsequent_indent="  ")
