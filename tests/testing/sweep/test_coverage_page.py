"""The committed page and results are what a sweep of the installed versions would give."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pytest

import fusionkit as fk
from fusionkit.testing.sweep.asked import digest_of_today
from fusionkit.testing.sweep.coverage import read_results, write_page
from fusionkit.testing.sweep.row import Row

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "coverage"
PAGE = ROOT / "docs" / "coverage.md"
LARGEST = 1_000_000


@pytest.fixture(scope="module")
def results() -> Mapping[str, list[Row]]:
    if not RESULTS.is_dir():
        pytest.skip("no results of a sweep are here: the folder coverage/ is not in this copy")
    return read_results(RESULTS)


def test_the_page_is_what_the_results_give(results: Mapping[str, list[Row]]) -> None:
    assert PAGE.read_text() == write_page(results, digest_of_today()), (
        "docs/coverage.md is old; run `python -m fusionkit.testing table`"
    )


def test_results_are_small_enough_to_keep(results: Mapping[str, list[Row]]) -> None:
    for provider in results:
        assert (RESULTS / f"{provider}.jsonl").stat().st_size < LARGEST


@pytest.mark.parametrize("provider", ["timm", "torchvision"])
def test_every_listed_model_was_asked(provider: str, results: Mapping[str, list[Row]]) -> None:
    rows = results[provider]
    swept = {row.versions[provider] for row in rows}
    if swept != {version(provider)}:
        pytest.skip(f"the sweep was of {provider} {', '.join(swept)}; another one is installed")
    listed = fk.Catalog.installed().backbones(provider)
    assert [row.model for row in rows] == listed


@pytest.mark.parametrize("provider", ["timm", "torchvision"])
def test_no_model_fails(provider: str, results: Mapping[str, list[Row]]) -> None:
    assert [row.model for row in results[provider] if not row.is_good] == []


@pytest.mark.parametrize("provider", ["timm", "torchvision"])
def test_no_model_was_asked_only_a_few_checks_by_name(
    provider: str, results: Mapping[str, list[Row]]
) -> None:
    assert [row.model for row in results[provider] if row.partial] == []
