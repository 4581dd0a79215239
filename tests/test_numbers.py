"""Booleans are no numbers in a setting."""

from __future__ import annotations

import pytest

from fusionkit.numbers import are_ascending, is_count, is_number


@pytest.mark.parametrize(("value", "least"), [(1, 1), (0, 0), (-2, -2), (10**30, 1)])
def test_whole_numbers_count(value: int, least: int) -> None:
    assert is_count(value, least)
    assert is_number(value)


@pytest.mark.parametrize("value", [True, False, 0, -1, 1.0, "1", None, [1]])
def test_what_is_no_count(value: object) -> None:
    assert not is_count(value)


def test_a_number_need_not_be_whole_or_finite() -> None:
    assert all(map(is_number, (0.5, float("inf"), float("nan"), -3)))
    assert not any(map(is_number, (True, "1", None, 1j)))


@pytest.mark.parametrize("values", [[], [0], (0, 3, 4)])
def test_counts_that_ascend(values: object) -> None:
    assert are_ascending(values)


@pytest.mark.parametrize("values", [[1, 1], [2, 1], [-1], [1.0], [True], ["1"], [[1]]])
def test_what_does_not_ascend(values: object) -> None:
    assert not are_ascending(values)
