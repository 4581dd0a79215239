"""The table."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from torch import nn

from fusionkit.demo.report import Line, count_trainable, table
from fusionkit.runs.spread import spread


def render(*args: object, **kwargs: object) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(table(*args, **kwargs))
    return console.file.getvalue()


def test_it_shows_each_line_and_fits_80_columns() -> None:
    lines = [
        Line("transformer alone, thawed", (0.9, 0.95, 1.0), 123_456_789, 1234.56, 0.931),
        Line("average of both", (0.5, 0.5, 0.5), 7, 0.04, 0.5),
    ]
    text = render(lines, title="mean of 3 draws", won="average of both")
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for expected in ("0.950 ± 0.050", "123,456,789", "1234.6", "0.931", "mean of 3 draws"):
        assert expected in text


def test_what_the_winner_was_chosen_by_is_shown_only_where_there_is_one() -> None:
    assert "validation" in render([Line("a", [0.5], 1, 1.0, choice=0.4)])
    assert "validation" not in render([Line("a", [0.5], 1, 1.0)])


@pytest.mark.parametrize(
    ("values", "text"),
    [([0.25], "0.250"), ([0.0, 1.0], "0.500 ± 0.707"), ([1, 1], "1.000 ± 0.000")],
)
def test_a_spread_is_a_sample_standard_deviation(values: list[float], text: str) -> None:
    assert spread(values) == text


def test_only_what_learns_is_counted() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    model[0].requires_grad_(False)
    assert count_trainable(model) == 3
