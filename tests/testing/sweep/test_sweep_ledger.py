from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fusionkit.errors import ConfigError
from fusionkit.testing.sweep.ledger import Ledger
from fusionkit.testing.sweep.row import Row

A, B = Row(model="p/a", family="a", passed=1), Row(model="p/b", family="b", passed=2)


def test_the_last_row_of_a_model_counts(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "p.jsonl")
    assert ledger.read() == {}
    for row in (B, A, replace(A, passed=5)):
        ledger.append(row)
    assert list(ledger.read().values()) == [replace(A, passed=5), B]


def test_a_torn_line_is_not_read_and_is_cut_off(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "deep" / "p.jsonl")
    with ledger.open():
        ledger.append(A)
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + B.dump().encode()[:-5])
    assert list(ledger.read()) == ["p/a"]
    with ledger.open():
        assert ledger.path.read_bytes() == whole
        ledger.append(B)
    assert list(ledger.read()) == ["p/a", "p/b"]


def test_a_line_that_is_no_row_is_told_by_its_number(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "p.jsonl")
    ledger.path.write_text(A.dump() + "\nnonsense\n" + B.dump() + "\n")
    with pytest.raises(
        ConfigError, match=r"line 2 of .*p\.jsonl is not a result: .*take that line"
    ):
        ledger.read()


def test_two_sweeps_do_not_write_to_one_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "p.jsonl")
    with (
        ledger.open(),
        pytest.raises(ConfigError, match=r"another sweep writes to .*give another --results"),
        Ledger(ledger.path).open(),
    ):
        pass
    with Ledger(ledger.path).open():
        pass


def test_tidy_leaves_one_line_for_each_listed_model(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "p.jsonl")
    for row in (B, A, replace(B, passed=3), Row(model="p/gone", family="g")):
        ledger.append(row)
    ledger.tidy(["p/a", "p/b", "p/never"])
    assert ledger.path.read_text() == f"{A.dump()}\n{replace(B, passed=3).dump()}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]
