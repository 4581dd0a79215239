from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fusionkit.errors import ConfigError
from fusionkit.testing.sweep.asked import LATER
from fusionkit.testing.sweep.coverage import read_results, write_page
from fusionkit.testing.sweep.ledger import Ledger
from fusionkit.testing.sweep.row import Row

TODAY = "0badcafe"

GOOD = Row(
    model="p/small",
    family="net",
    versions={"p": "1.0", "torch": "2.0"},
    checks=TODAY,
    parameters=4_900_000,
    input="3 64 64",
    passed=1200,
    skipped={"rebuild": "nothing to rebuild"},
)
LARGE = replace(
    GOOD,
    model="p/large",
    parameters=1_234_000_000,
    input="3 224 224",
    mode="meta",
    why="too large for 8 GiB: 6 times its parameters are 27.6 GiB",
    passed=3,
)
SLOW = replace(LARGE, model="p/slow", why="not done in 10 min: trains", parameters=10)
ODD = replace(GOOD, model="p/odd", family="odd", expected={"channels": "it reads DCT values"})
ODDER = replace(ODD, model="p/odder")
BAD = replace(GOOD, model="p/bad", family="odd", failed={"trains": ("a | b\nc", "more")})
DEAD = replace(
    GOOD, model="p/dead", family="odd", fault="crashed with SIGSEGV at runs: x", input=""
)


def page_of(results: dict[str, list[Row]]) -> str:
    return write_page(results, TODAY)


def section(page: str, title: str) -> str:
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0].strip()


def test_totals_count_each_model_once() -> None:
    page = page_of({"p": [GOOD, LARGE, SLOW, ODD, ODDER, BAD, DEAD], "q": [GOOD]})
    assert (
        "| provider | models | passed whole | with exceptions | on meta | failed | checks" in page
    )
    assert "| p | 7 | 1 | 2 | 2 | 2 | 6,006 |" in page
    assert "| q | 1 | 1 | 0 | 0 | 0 | 1,200 |" in page


def test_a_family_is_a_line() -> None:
    page = section(page_of({"p": [GOOD, LARGE, ODD, ODDER, BAD]}), "p")
    assert page.startswith("- 4 models asked everything, in p 1.0, torch 2.0\n- 1 model asked what")
    assert "| net | 2 | 1 |  | 1 |  | 4.9 to 1,234 | 3 x 64 x 64 to 3 x 224 x 224 |" in page
    assert "| odd | 3 |  | 2 |  | 1 | 4.9 | 3 x 64 x 64 |" in page


def test_who_was_asked_what_in_which_versions_is_told_while_a_sweep_goes_on() -> None:
    newer = {"p": "1.1"}
    rows = [
        replace(GOOD, model="p/left", mode="meta", why=LATER, checks="a few"),
        replace(GOOD, model="p/old", checks="fewer"),
        *(GOOD, LARGE, replace(ODD, versions=newer)),
    ]
    page = section(page_of({"p": rows}), "p")
    assert page.partition("\n\n")[0].splitlines() == [
        "- 1 model asked everything, in p 1.0, torch 2.0",
        "- 1 model asked everything, in p 1.1",
        "- 1 model asked what needs no data, in p 1.0, torch 2.0",
        "- 1 model asked another set of checks, in p 1.0, torch 2.0",
        "- 1 model left to the next sweep, in p 1.0, torch 2.0",
    ]


def test_failures_stand_with_what_was_found() -> None:
    page = section(page_of({"p": [GOOD, BAD, DEAD]}), "Failures")
    assert "| p/bad | `trains` | a \\| b c |" in page
    assert "| p/dead |  | crashed with SIGSEGV at runs: x |" in page
    assert section(page_of({"p": [GOOD]}), "Failures") == "None."


def test_exceptions_stand_by_check_and_cause() -> None:
    page = section(page_of({"p": [GOOD, ODD, ODDER]}), "Exceptions")
    assert page == "**`channels`**: it reads DCT values. 2 models: p/odd, p/odder"


def test_models_on_meta_stand_collapsed_by_cause() -> None:
    page = section(page_of({"p": [GOOD, LARGE, SLOW]}), "On meta only")
    assert "<details><summary>1 model: too large for 8 GiB</summary>" in page
    assert "p/large (1,234 M)" in page
    assert "<summary>1 model: not done in 10 min</summary>" in page


def test_what_was_skipped_is_told_by_cause_without_its_details() -> None:
    other = replace(ODD, skipped={"rebuild": "nothing to rebuild: really"})
    page = section(page_of({"p": [GOOD, other]}), "Checks that gave no occasion")
    assert "| `rebuild` | nothing to rebuild | 2 | p/small, p/odd |" in page
    many = [replace(GOOD, model=f"p/{number}") for number in range(31)]
    page = section(page_of({"p": many}), "Checks that gave no occasion")
    assert "| `rebuild` | nothing to rebuild | 31 |  |" in page


def test_results_are_read_without_those_of_a_few_checks(tmp_path: Path) -> None:
    Ledger(tmp_path / "p.jsonl").append(GOOD)
    Ledger(tmp_path / "p.partial.jsonl").append(BAD)
    Ledger(tmp_path / "q.partial.jsonl").append(BAD)
    assert read_results(tmp_path) == {"p": [GOOD]}


def test_no_results_are_told_with_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there are no results in .*; run .*sweep --provider"):
        read_results(tmp_path)
