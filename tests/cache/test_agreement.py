"""Rounding is let through, anything else is not."""

from __future__ import annotations

import pytest
import torch

import fusionkit as fk
from fusionkit.cache.agreement import check_repeatable, disagreement, tolerance

CPU = torch.device("cpu")


def features(value: torch.Tensor) -> fk.Features:
    return fk.Features(vector=value)


def test_the_tolerance_is_half_the_digits_of_the_coarsest_type():
    assert tolerance(CPU, torch.float32) == pytest.approx(3.45e-4, rel=0.01)
    assert tolerance(CPU, torch.float32, None, torch.float16) == pytest.approx(0.031, rel=0.02)
    assert tolerance(CPU, torch.bfloat16, torch.float32) == pytest.approx(0.088, rel=0.01)
    assert tolerance(CPU, torch.int64) == 0


def test_a_gpu_is_given_the_digits_with_which_it_may_multiply():
    gpu = torch.device("cuda")
    assert tolerance(gpu, torch.float32) == tolerance(CPU, torch.float16)
    assert tolerance(gpu, torch.bfloat16) == tolerance(CPU, torch.bfloat16)


def test_a_difference_is_measured_by_its_row():
    one = torch.tensor([[1.0, 2.0], [100.0, 200.0]])
    other = one + torch.tensor([[0.0, 0.2], [0.0, 0.2]])
    assert disagreement(features(one), features(other)) == pytest.approx(0.2 / 2.2)
    assert disagreement(features(one), features(one)) == 0
    assert disagreement(features(torch.zeros(2, 3)), features(torch.zeros(2, 3))) == 0
    assert disagreement(features(torch.zeros(0, 3)), features(torch.zeros(0, 3))) == 0


def test_rows_of_nearly_nothing_are_measured_by_the_others():
    one = torch.tensor([[1e-9, 0.0], [1.0, 1.0]])
    other = torch.tensor([[2e-9, 0.0], [1.0, 1.0]])
    assert disagreement(features(one), features(other)) < 1e-5


def test_what_is_not_finite_agrees_with_itself_alone():
    odd = torch.tensor([[torch.nan, torch.inf, 1.0]])
    assert disagreement(features(odd), features(odd.clone())) == 0
    assert disagreement(features(odd), features(-odd)) == torch.inf
    assert disagreement(features(odd), features(torch.ones(1, 3))) == torch.inf


def test_other_shapes_and_kinds_are_infinitely_apart():
    value = torch.ones(1, 3)
    assert disagreement(features(value), features(value[:, :2])) == torch.inf
    assert disagreement(features(value), fk.Features(logits=value)) == torch.inf


def test_p8_random_features_are_refused():
    x = torch.rand(4, 3)
    with pytest.raises(fk.CacheError, match="branch 'a' gives other features for the same samples"):
        check_repeatable("a", features(x), features(x[:2] + 0.1), lambda: features(x[:2]), 1e-3)


def test_p8_features_that_depend_on_the_batch_are_refused():
    x = torch.rand(4, 3)
    few = features(x[:2] + 0.1)
    with pytest.raises(fk.CacheError, match="gives other features for a sample in another batch"):
        check_repeatable("a", features(x), few, lambda: few, 1e-3)


def test_p8_what_agrees_is_not_computed_again():
    level = fk.Features(maps=(torch.rand(4, 1, 2, 2),), logits=torch.rand(4, 3))
    few = fk.Features(maps=(level.maps[0][:1],), logits=level.logits[:1])
    check_repeatable("a", level, few, lambda: pytest.fail("computed again"), 1e-3)
