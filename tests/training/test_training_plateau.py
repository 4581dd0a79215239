"""A plateau is counted as the policy says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

import fusionkit as fk
from fusionkit.training.plateau import Plateau


def watch(freeze: fk.Freeze, values: list[float]) -> list[int]:
    plateau, counts = Plateau(), []
    for epoch, value in enumerate(values):
        plateau = plateau.observe(freeze, epoch, value)
        counts.append(plateau.stalled)
    return counts


def test_less_is_progress() -> None:
    assert watch(fk.Freeze.on_plateau(), [3.0, 2.0, 2.0, 2.5, 1.9]) == [0, 0, 1, 2, 0]


def test_more_is_progress() -> None:
    assert watch(fk.Freeze.on_plateau(mode="max"), [0.1, 0.2, 0.2, 0.3]) == [0, 0, 1, 0]


def test_progress_must_be_large_enough() -> None:
    assert watch(fk.Freeze.on_plateau(min_delta=0.5), [3.0, 2.6, 2.4]) == [0, 1, 0]


def test_nothing_is_counted_before_the_start() -> None:
    assert watch(fk.Freeze.on_plateau(start=2), [1.0, 2.0, 2.0, 2.0]) == [0, 0, 1, 2]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_the_best_is_the_least_that_was_seen(values: list[float]) -> None:
    plateau = Plateau()
    for epoch, value in enumerate(values):
        plateau = plateau.observe(fk.Freeze.on_plateau(), epoch, value)
    assert plateau.best == min(values)
    assert plateau.stalled == len(values) - 1 - values.index(min(values))
