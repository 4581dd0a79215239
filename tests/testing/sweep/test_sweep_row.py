from __future__ import annotations

from dataclasses import replace

import pytest

from fusionkit.testing.sweep.row import Row

FULL = Row(
    model="timm/x",
    family="xs",
    versions={"timm": "1.0"},
    checks="abcd",
    also=("compiles",),
    mode="meta",
    why="too large for 8 GiB: much",
    memory_gib=8.0,
    options={"img_size": 64},
    parameters=7,
    input="3 64 64",
    seconds=1.5,
    peak_mib=9,
    passed=3,
    skipped={"a": "no occasion"},
    expected={"b": "known"},
    failed={"c": ("one", "two")},
    fault="crashed",
)


@pytest.mark.parametrize("row", [FULL, Row(model="timm/x", family="xs")], ids=["full", "bare"])
def test_a_row_survives_its_line(row: Row) -> None:
    assert Row.parse(row.dump()) == row
    assert "\n" not in row.dump()


def test_what_is_empty_takes_no_room() -> None:
    assert Row(model="timm/x", family="xs").dump() == '{"model":"timm/x","family":"xs"}'


def test_the_cause_that_many_share_stands_before_its_figures() -> None:
    assert FULL.limit == "too large for 8 GiB"
    assert FULL.provider == "timm"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "Expecting"),
        ("[]", "no row of a sweep"),
        ('{"model":"a/b"}', "no row of a sweep"),
        ('{"model":"a/b","family":"b","colour":1}', "it has colour"),
    ],
)
def test_what_is_no_row_is_refused(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Row.parse(line)


@pytest.mark.parametrize(
    ("changes", "answers"),
    [
        ({}, True),
        ({"also": ()}, True),
        ({"also": ("exports",)}, False),
        ({"versions": {"timm": "1.1"}}, False),
        ({"checks": "other"}, False),
        ({"partial": True}, False),
    ],
)
def test_when_asking_again_would_ask_nothing_new(changes: dict, answers: bool) -> None:
    assert FULL.answers(replace(FULL, **changes)) is answers


@pytest.mark.parametrize(
    ("memory_gib", "minutes", "short"), [(8, 15, False), (8, 60, False), (16, 15, True)]
)
def test_what_had_too_little_memory_may_have_more_now(
    memory_gib: float, minutes: float, short: bool
) -> None:
    assert FULL.was_short(memory_gib, minutes) is short


def test_what_had_too_little_time_may_have_more_now() -> None:
    row = replace(FULL, memory_gib=0.0, minutes=5.0)
    assert not row.was_short(64, 5)
    assert row.was_short(1, 6)
