"""Rates of a branch as multiples of the base rate."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusionkit as fk

NAN, INF = float("nan"), float("inf")


def test_a_twelve_block_transformer_has_the_decay_per_block() -> None:
    lr = fk.LR(0.1, layer_decay=0.75)
    rates = [lr.rate(index, 13) for index in range(13)]
    assert rates[-1] == 0.1
    for earlier, later in itertools.pairwise(rates):
        assert earlier / later == pytest.approx(0.75)


def test_a_four_stage_convnet_with_its_stem_spreads_the_same_total() -> None:
    lr = fk.LR(layer_decay=0.75)
    assert lr.rate(3, 5) == pytest.approx(0.421875)
    assert lr.rate(0, 5) == pytest.approx(0.75**12)


@settings(deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(0.3, 1), st.integers(2, 200))
def test_totals_are_equal_for_any_depth_and_rates_never_fall(
    scale: float, decay: float, count: int
) -> None:
    lr = fk.LR(scale, layer_decay=decay)
    rates = [lr.rate(index, count) for index in range(count)]
    assert rates[-1] == scale
    assert rates[0] == pytest.approx(scale * decay**12)
    assert all(early <= late for early, late in itertools.pairwise(rates))
    assert min(rates) > 0


def test_a_single_stage_has_the_scale() -> None:
    assert fk.LR(2, layer_decay=0.5).rate(0, 1) == 2.0
    assert isinstance(fk.LR(2).rate(0, 1), float)


@settings(deadline=None)
@given(st.integers(1, 50))
def test_warm_up_rises_linearly_to_one_and_stays(warmup: int) -> None:
    lr = fk.LR(warmup=warmup)
    factors = [lr.warmth(age) for age in range(warmup + 3)]
    assert factors[:warmup] == pytest.approx([(age + 1) / (warmup + 1) for age in range(warmup)])
    assert factors[warmup:] == [1.0] * 3


def test_without_warm_up_and_before_the_thaw_nothing_is_scaled() -> None:
    assert fk.LR().warmth(0) == 1.0
    assert fk.LR(warmup=3).warmth(-1) == 1.0


BAD: list[tuple[dict[str, Any], str]] = [
    *(({"scale": value}, r"LR\.scale must be positive") for value in (0, -1, NAN, INF, 10**400)),
    *(({"scale": value}, r"LR\.scale must be positive") for value in ("0.1", True, None, [1])),
    *(({"layer_decay": value}, r"LR\.layer_decay must be in") for value in (0, 1.01, -1, NAN, INF)),
    *(({"layer_decay": value}, r"LR\.layer_decay must be in") for value in ("1", True, None)),
    *(({"weight_decay": value}, r"LR\.weight_decay must be from 0") for value in (-1, NAN, INF)),
    *(({"weight_decay": value}, r"LR\.weight_decay must be from 0") for value in ("0", False)),
    *(({"warmup": value}, r"LR\.warmup must be a whole") for value in (-1, 1.0, True, None, "1")),
    *(({"by": value}, r"LR\.by is 'stage' or 'block'") for value in ("layer", None, 1)),
    ({"layer_decay": 1e-3}, "leaves the stem no rate"),
    ({"scale": 1e-300}, "leaves the stem no rate"),
]


@pytest.mark.parametrize(("fields", "message"), BAD)
def test_bad_values(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(fk.PolicyError, match=message):
        fk.LR(**fields)


def test_a_scale_of_zero_is_told_to_freeze() -> None:
    with pytest.raises(fk.PolicyError, match=r"freeze it with Freeze\.all\(\)"):
        fk.LR(0)


def test_a_misspelt_option_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="layer_decy"):
        fk.LR(0.1, layer_decy=0.5)  # type: ignore[call-arg]
