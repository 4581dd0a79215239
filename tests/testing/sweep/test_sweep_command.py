"""Choosing models and checks, in this process: nothing is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toys import TinyNet

import fusionkit as fk
from fusionkit.errors import ConfigError
from fusionkit.testing.backbones.all import BACKBONE_CHECKS
from fusionkit.testing.sweep import command as sweep_command
from fusionkit.testing.sweep.asked import LATER
from fusionkit.testing.sweep.command import Choice, ask_models
from fusionkit.testing.sweep.ledger import Ledger
from fusionkit.testing.sweep.run import Told


class Offer:
    @fk.hookimpl
    def fusionkit_backbones(self):
        def build(*, in_channels, weights, num_classes):
            return TinyNet(in_channels)

        return dict.fromkeys(("a1", "a2", "b1"), build)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], tuple[str, ...], str]]:
    """What would have been asked of whom; each model passes."""
    calls = []

    def run(wanted, checks, catalog, *, told, too_much, **limits) -> None:
        calls.append(([row.model for row in wanted], checks, too_much))
        for row in wanted:
            told(Told(row, {"builds": 1.0}))

    monkeypatch.setattr(sweep_command, "run", run)
    return calls


def ask(results: Path, memory_gib: float = 1, **choice: Any) -> tuple[bool, list[str]]:
    said: list[str] = []
    good = ask_models(
        Choice(provider="mine", **choice),
        results,
        jobs=1,
        memory_gib=memory_gib,
        minutes=1,
        say=said.append,
        catalog=fk.Catalog.installed().with_plugin("mine", Offer()),
    )
    return good, said


NAMES = ["mine/a1", "mine/a2", "mine/b1"]
SLOW = tuple(sorted(check.name for check in BACKBONE_CHECKS if check.slow))
FIRST = tuple(check.name for check in BACKBONE_CHECKS if check.first)


def test_by_default_everything_is_asked_but_slow_checks(tmp_path: Path, asked: list) -> None:
    assert ask(tmp_path)[0]
    (models, checks, too_much), = asked  # fmt: skip
    assert sorted(models) == NAMES
    assert checks == tuple(check.name for check in BACKBONE_CHECKS if not check.slow)
    assert too_much == ""
    assert sorted(Ledger(tmp_path / "mine.jsonl").read()) == NAMES


def test_what_has_passed_is_not_asked_again_unless_told(tmp_path: Path, asked: list) -> None:
    ask(tmp_path, glob="a*")
    ask(tmp_path)
    assert asked[-1][0] == ["mine/b1"]
    assert "3 models, 3 of them done before" in ask(tmp_path)[1]
    assert len(asked) == 2
    ask(tmp_path, again=True)
    assert sorted(asked[-1][0]) == NAMES
    ask(tmp_path, number=2, seed=3)
    assert len(asked[-1][0]) == 2
    ask(tmp_path, also=("slow",))
    assert sorted(asked[-1][0]) == NAMES
    assert asked[-1][1][-len(SLOW) :] == SLOW


def test_what_had_too_little_memory_is_asked_again_with_more(tmp_path: Path, asked: list) -> None:
    ask(tmp_path)
    ledger = Ledger(tmp_path / "mine.jsonl")
    ledger.append(replace(ledger.read()["mine/a2"], mode="meta", why="large", memory_gib=1.0))
    assert "3 models, 3 of them done before" in ask(tmp_path)[1]
    ask(tmp_path, memory_gib=2, rest_on_meta=True)
    assert len(asked) == 1
    ask(tmp_path, memory_gib=2)
    assert asked[-1][0] == ["mine/a2"]


def test_what_was_never_asked_in_full_comes_first(tmp_path: Path, asked: list) -> None:
    ask(tmp_path, glob="a1")
    ask(tmp_path, rest_on_meta=True)
    ledger = Ledger(tmp_path / "mine.jsonl")
    left = [replace(row, why=LATER) for row in ledger.read().values() if row.model != "mine/a1"]
    for row in left:
        ledger.append(row)
    ask(tmp_path, also=("slow",))
    assert asked[-1][0] == ["mine/b1", "mine/a2", "mine/a1"]


def test_what_was_asked_in_full_is_not_asked_less_instead(tmp_path: Path, asked: list) -> None:
    ask(tmp_path, glob="a*")
    ledger = Ledger(tmp_path / "mine.jsonl")
    rows = ledger.read()
    ledger.append(replace(rows["mine/a1"], versions={"torch": "0.1"}))
    ledger.append(replace(rows["mine/a2"], failed={"runs": ("it does not",)}))
    ask(tmp_path, rest_on_meta=True)
    assert asked[-1][0] == ["mine/b1"]
    rows = ledger.read()
    assert rows["mine/a1"].versions == {"torch": "0.1"}
    assert rows["mine/a2"].failed
    ask(tmp_path)
    assert {"mine/a1", "mine/a2"} <= set(asked[-1][0])


def test_a_few_checks_are_kept_apart(tmp_path: Path, asked: list) -> None:
    ask(tmp_path, checks=("vector_is_as_declared",))
    assert asked[-1][1] == (*FIRST, "vector_is_as_declared")
    assert not Ledger(tmp_path / "mine.jsonl").read()
    ask(tmp_path, on_meta=True)
    assert asked[-1][2] == "only this was asked for"
    assert not Ledger(tmp_path / "mine.jsonl").read()
    assert len(Ledger(tmp_path / "mine.partial.jsonl").read()) == 3


def test_one_of_each_family(tmp_path: Path, asked: list) -> None:
    ask(tmp_path, one_of_each_family=True)
    assert sorted(asked[-1][0]) == ["mine/a1", "mine/b1"]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"glob": "x*"}, "no model of mine matches 'x*'"),
        ({"checks": ("run",)}, "there is no check 'run'. Did you mean 'runs'"),
        ({"also": ("compile_as_declared",)}, "Did you mean 'compiles_as_declared'"),
    ],
)
def test_what_does_not_exist_is_refused(
    tmp_path: Path, choice: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        ask(tmp_path, **choice)
    assert message in str(refused.value)
