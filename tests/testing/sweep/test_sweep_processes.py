"""Models that crash, hang and fill the memory, swept for real."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fusionkit.testing.sweep.asked import LATER, STRUCTURE
from fusionkit.testing.sweep.ledger import Ledger
from fusionkit.testing.sweep.row import Row

Command = Callable[..., "subprocess.CompletedProcess[str]"]

FEW = ("--provider", "rough", "--checks", "builds,runs", "--memory-gib", "1", "--minutes", "0.1")


@pytest.fixture(scope="module")
def swept(
    command: Command, tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("results")
    return command("sweep", *FEW, "--results", folder), folder


@pytest.fixture(scope="module")
def rows(swept: tuple[subprocess.CompletedProcess[str], Path]) -> dict[str, Row]:
    done, folder = swept
    assert done.stderr == ""
    found = Ledger(folder / "rough.partial.jsonl").read()
    return {name.removeprefix("rough/"): row for name, row in found.items()}


def test_every_model_has_a_row_whatever_became_of_it(rows: dict[str, Row]) -> None:
    deeds = ("crash", "good", "hog_always", "hog", "killed", "sleep", "wrong")
    assert sorted(rows) == sorted(f"{deed}_net" for deed in deeds)


def test_a_good_model_is_told_with_what_it_took(rows: dict[str, Row]) -> None:
    row = rows["good_net"]
    assert (row.mode, row.passed, row.is_good, row.why) == ("full", 3, True, "")
    assert (row.family, row.parameters, row.input) == ("good", 808, "3 64 64")
    assert row.versions["rough-provider"] == "1.0"
    assert row.versions["torch"]
    assert row.peak_mib > 50


def test_a_finding_is_kept(rows: dict[str, Row]) -> None:
    row = rows["wrong_net"]
    assert not row.is_good
    assert "planted in the forward pass" in row.failed["runs"][0]


def test_a_crash_is_a_failure_that_says_where(rows: dict[str, Row]) -> None:
    row = rows["crash_net"]
    assert not row.is_good
    assert row.fault.startswith("crashed with SIGSEGV at runs: Fatal Python error")
    assert "rough_provider.py" in row.fault


def test_what_takes_too_long_is_asked_on_meta(rows: dict[str, Row]) -> None:
    row = rows["sleep_net"]
    assert (row.mode, row.passed, row.is_good) == ("meta", 3, True)
    assert row.why == "not done in 0.1 min: runs"
    assert (row.memory_gib, row.minutes) == (0, 0.1)


def test_what_takes_too_much_memory_is_asked_on_meta(rows: dict[str, Row]) -> None:
    row = rows["hog_net"]
    assert (row.mode, row.passed, row.is_good) == ("meta", 3, True)
    assert row.why == "took more than 1 GiB: runs"
    assert (row.memory_gib, row.minutes) == (1, 0)


def test_what_the_system_kills_is_asked_on_meta(rows: dict[str, Row]) -> None:
    row = rows["killed_net"]
    assert (row.mode, row.passed, row.is_good) == ("meta", 3, True)
    assert row.why == "killed by the system, as where memory runs out: runs"
    assert row.memory_gib == 1


def test_what_goes_over_a_limit_on_meta_too_has_failed(rows: dict[str, Row]) -> None:
    row = rows["hog_always_net"]
    assert (row.mode, row.is_good) == ("meta", False)
    assert row.fault == "took more than 1 GiB: runs"


def test_failures_are_told_and_decide_the_exit_code(
    swept: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, _ = swept
    assert done.returncode == 1
    assert "7 models, 0 of them done before" in done.stdout
    assert "4 passed, 3 failed" in done.stdout
    assert "FAILED rough/crash_net" in done.stdout


def test_a_sweep_goes_on_after_a_torn_line(
    command: Command, swept: tuple[subprocess.CompletedProcess[str], Path], tmp_path: Path
) -> None:
    lines = (swept[1] / "rough.partial.jsonl").read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if b"/wrong_net" in line or b"/sleep_net" in line]
    torn = next(line for line in lines if b"/good_net" in line)[:40]
    (tmp_path / "rough.partial.jsonl").write_bytes(b"".join(kept) + torn)
    done = command("sweep", *FEW, "--models", "[gsw]*", "--results", tmp_path)
    assert "3 models, 1 of them done before" in done.stdout
    assert "sleep_net" not in done.stdout
    rows = Ledger(tmp_path / "rough.partial.jsonl").read()
    assert [row.is_good for row in rows.values()] == [True, True, False]


def test_a_wrong_argument_is_one_line_and_exit_code_2(command: Command, tmp_path: Path) -> None:
    done = command("sweep", "--provider", "rouhg", "--results", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: no plugin 'rouhg' is installed.")
    assert "Did you mean 'rough'?" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_rest_is_asked_of_its_structure_and_the_next_sweep_asks_it_everything(
    command: Command, tmp_path: Path
) -> None:
    few = ("--provider", "rough", "--models", "good*", "--results", tmp_path)
    done = command("sweep", *few, "--rest-on-meta")
    assert done.returncode == 0, done.stdout
    rows = Ledger(tmp_path / "rough.jsonl").read()
    assert (rows["rough/good_net"].mode, rows["rough/good_net"].why) == ("meta", LATER)
    assert rows["rough/good_net"].passed + len(rows["rough/good_net"].skipped) == len(STRUCTURE)
    again = command("sweep", *few, "--rest-on-meta")
    assert "1 models, 1 of them done before" in again.stdout
    whole = command("sweep", *few)
    assert "1 models, 0 of them done before" in whole.stdout
    assert Ledger(tmp_path / "rough.jsonl").read()["rough/good_net"].mode == "full"
