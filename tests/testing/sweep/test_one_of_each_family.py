"""The smallest model of each family of every provider that was swept is asked everything, again.

Which it is, and what it took, is told by the results of the sweep. Those that took long then are
asked on the meta device here, where they cost a second or two.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import fusionkit as fk
from fusionkit.testing.backbones.all import BACKBONE_CHECKS
from fusionkit.testing.judge import choose
from fusionkit.testing.sweep.coverage import read_results
from fusionkit.testing.sweep.examine import Order, examine
from fusionkit.testing.sweep.exceptions import known_failures
from fusionkit.testing.sweep.row import Row

RESULTS = Path(__file__).parents[3] / "coverage"
LONG = 6.0
"""Seconds of processor time in the sweep."""

MEMORY_GIB = 8.0


def smallest() -> list[Row]:
    """Gives the row of the smallest model of each family, of those asked in full if there are."""
    if not RESULTS.is_dir():
        return []
    chosen: dict[tuple[str, str], Row] = {}
    rows = [row for rows in read_results(RESULTS).values() for row in rows]
    for row in sorted(rows, key=lambda row: (row.mode != "full", row.parameters, row.model)):
        chosen.setdefault((row.provider, row.family), row)
    return [row for _, row in sorted(chosen.items())]


def on_meta(row: Row) -> str:
    """Says why a model is asked on the meta device here, or nothing."""
    if row.mode == "meta":
        return row.why
    return f"it takes more than {LONG:g} s" if row.seconds > LONG else ""


MEMBERS = [
    pytest.param(row, id=f"{row.model}{' on meta' if on_meta(row) else ''}".replace("/", "-"))
    for row in smallest()
]


@pytest.mark.skipif(not MEMBERS, reason="the results of a sweep, coverage/, are not in this copy")
def test_there_are_families_of_both_providers() -> None:
    providers = [row.provider for row in smallest()]
    assert providers.count("timm") > 90
    assert providers.count("torchvision") > 20


@pytest.mark.parametrize("row", MEMBERS)
def test_the_smallest_of_its_family_passes(row: Row) -> None:
    torch.manual_seed(0)
    checks = tuple(str(check) for check in choose(BACKBONE_CHECKS, None))
    cause = on_meta(row)
    order = Order(Row(model=row.model, family=row.family), checks, MEMORY_GIB, cause)
    now, _ = examine(order, fk.Catalog.installed(), lambda step: None)
    assert now.failed == {}
    assert set(now.expected) <= set(known_failures(row.model, now.mode))
    if "runs" not in now.expected:  # without which nothing else is asked
        assert now.passed > (10 if cause else 40)
