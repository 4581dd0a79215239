"""The smallest model of each family of every provider that was swept is asked everything, again.

Which it is, and what it took, is told by the results of the sweep. Those that took long then are
asked on the meta device here, where they cost a second or two, unless the providers' own tests run
a model of their family with numbers.
"""

from __future__ import annotations

import runpy
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
PROVIDERS = Path(__file__).parents[2] / "providers"
LONG = 4.0
"""Seconds of processor time in the sweep."""

ODD = ("timm/levit_128s", "torchvision/googlenet")
"""Asked in full all the same: it caches in eval mode; it has auxiliary logits in train mode."""

DEAR = (
    "only_what_is_read_comes", "rates_keep_their_ratios", "first_layers_follow_the_channels",
    "other_sizes_are_refused_or_run",
)  # fmt: skip
"""Most of the time on the meta device, and asked of all that are asked in full."""

MEMORY_GIB = 8.0


def smallest() -> list[Row]:
    """Gives the row of the smallest model of each family, of those asked in full if there are."""
    if not RESULTS.is_dir():
        return []
    chosen: dict[tuple[str, str], Row] = {}
    rows = [row for rows in read_results(RESULTS).values() for row in rows]
    for row in sorted(rows, key=lambda row: (row.mode != "full", row.parameters, row.model)):
        chosen.setdefault((row.provider, row.family), row)
    seen = seen_by_the_providers_tests(rows)
    return [row for family, row in sorted(chosen.items()) if family not in seen or not on_meta(row)]


def seen_by_the_providers_tests(rows: list[Row]) -> set[tuple[str, str]]:
    """Gives the families of which those tests run a model with its numbers."""
    models = {f"timm/{name}" for name in runpy.run_path(str(PROVIDERS / "timm_zoo.py"))["ZOO"]}
    examples = runpy.run_path(str(PROVIDERS / "torchvision_zoo.py"))["EXAMPLES"]
    models |= {f"torchvision/{example.name}" for example in examples}
    return {(row.provider, row.family) for row in rows if row.model in models}


def on_meta(row: Row) -> str:
    """Says why a model is asked on the meta device here, or nothing."""
    if row.mode == "meta":
        return row.why
    long = row.seconds > LONG and row.model not in ODD
    return f"it takes more than {LONG:g} s" if long else ""


MEMBERS = [
    pytest.param(row, id=f"{row.model}{' on meta' if on_meta(row) else ''}".replace("/", "-"))
    for row in smallest()
]


@pytest.mark.skipif(not MEMBERS, reason="the results of a sweep, coverage/, are not in this copy")
def test_there_are_families_of_both_providers() -> None:
    rows = [row for rows in read_results(RESULTS).values() for row in rows]
    asked = {(row.provider, row.family) for row in smallest()}
    providers = [provider for provider, _ in asked | seen_by_the_providers_tests(rows)]
    assert providers.count("timm") > 90
    assert providers.count("torchvision") > 20
    assert sum(not on_meta(row) for row in smallest()) > 15


@pytest.mark.parametrize("row", MEMBERS)
def test_the_smallest_of_its_family_passes(row: Row) -> None:
    torch.manual_seed(0)
    cause = on_meta(row)
    left_out = DEAR if cause else ()
    checks = tuple(
        str(check) for check in choose(BACKBONE_CHECKS, None) if str(check) not in left_out
    )
    order = Order(Row(model=row.model, family=row.family), checks, MEMORY_GIB, cause)
    now, _ = examine(order, fk.Catalog.installed(), lambda step: None)
    assert now.failed == {}
    assert set(now.expected) <= set(known_failures(row.model, now.mode))
    if "runs" not in now.expected:  # without which nothing else is asked
        assert now.passed > (10 if cause else 40)
