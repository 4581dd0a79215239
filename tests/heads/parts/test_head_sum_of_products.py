"""How sums of products start, which decides whether products of many branches can learn."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusionkit.heads.parts.sum_of_products import SumOfProducts

COUNTS = (1, 2, 3, 6)
D = 200


def start(count, constant, terms):
    """The sums at the start, and the size of the gradient of the first branch's weights."""
    torch.manual_seed(0)
    names = [f"b{i}" for i in range(count)]
    part = SumOfProducts(names, [D] * count, 64, terms=terms, constant=constant)
    sums = part({name: torch.randn(512, D) for name in names})
    (sums * torch.randn_like(sums)).sum().backward()
    gradient = part.factors["b0"].weight.grad
    return sums.detach(), gradient.square().mean().sqrt()


@pytest.mark.parametrize("terms", [1, 5])
@pytest.mark.parametrize("count", COUNTS)
def test_sums_start_with_variance_one(count, terms):
    sums, _ = start(count, False, terms)
    assert 0.5 < sums.std() < 2


@pytest.mark.parametrize("terms", [1, 5])
@pytest.mark.parametrize("count", COUNTS)
def test_beside_a_constant_sums_start_around_one_and_do_not_explode(count, terms):
    sums, _ = start(count, True, terms)
    assert 0.8 < sums.mean() < 1.2
    assert 0.2 < sums.std() < 2


@pytest.mark.parametrize("constant", [False, True], ids=["bare", "constant"])
@pytest.mark.parametrize("terms", [1, 5])
def test_the_gradient_of_a_factor_does_not_vanish_with_the_number_of_branches(constant, terms):
    gradients = [start(count, constant, terms)[1] for count in COUNTS]
    assert max(gradients) < 6 * min(gradients)


def test_factors_of_the_usual_start_would_vanish():
    part = SumOfProducts([f"b{i}" for i in range(6)], [D] * 6, 64)
    for factor in part.factors.values():
        factor.reset_parameters()
    assert part({name: torch.randn(512, D) for name in part.factors}).std() < 0.1


def test_what_is_left_out_counts_as_zeros():
    part = SumOfProducts(["a", "b", "c"], [4, 5, 6], 3, terms=2, activation=nn.Tanh())
    a, c = torch.randn(2, 4), torch.randn(2, 6)
    expected = part({"a": a, "b": torch.zeros(2, 5), "c": c})
    torch.testing.assert_close(part({"c": c, "a": a}), expected)


def test_terms_lie_side_by_side_and_dropout_and_activation_come_before_the_sum():
    part = SumOfProducts(["a"], [1], 2, terms=2, activation=nn.ReLU(), dropout=0.5)
    with torch.no_grad():
        part.factors["a"].weight.copy_(torch.tensor([[1.0], [2.0], [-4.0], [8.0]]))
        part.factors["a"].bias.zero_()
    assert part.eval()({"a": torch.ones(1, 1)}).tolist() == [[3.0, 8.0]]
    values = part.train()({"a": torch.ones(500, 1)})
    assert set(values[:, 0].tolist()) == {0.0, 2.0, 4.0, 6.0}
    assert "width=2, terms=2" in repr(part)


def test_half_precision_is_multiplied_in_float32():
    part = SumOfProducts(["a", "b"], [1, 1], 1).half()
    with torch.no_grad():
        for factor in part.factors.values():
            factor.weight.fill_(1)
            factor.bias.zero_()
    x = torch.full((1, 1), 6e4, dtype=torch.float16)
    assert part({"a": x, "b": x}).item() == pytest.approx(6e4**2, rel=1e-2)
