"""Norms of vectors and maps, faint, loud and all zero."""

from __future__ import annotations

import pytest
import torch

from fusionkit.heads.parts.norms import LayerNorm, MapNorm, UnitNorm, vector_norm


@pytest.mark.parametrize("norm", [LayerNorm(6), UnitNorm()])
def test_a_vector_of_zeros_stays_one_and_its_gradient_finite(norm):
    x = torch.zeros(2, 6, requires_grad=True)
    norm(x).sum().backward()
    assert torch.equal(norm(x), torch.zeros(2, 6))
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("scale", [1e-5, 290.0])
def test_features_as_faint_and_as_loud_as_they_occur_come_out_at_one(scale):
    torch.manual_seed(0)
    x = torch.randn(4, 64) * scale
    one = pytest.approx([1.0] * 4, rel=0.02)
    assert LayerNorm(64)(x).square().mean(1).tolist() == one
    assert UnitNorm()(x).norm(dim=1).tolist() == one
    maps = x.reshape(4, 4, 4, 4)
    assert MapNorm()(maps).square().mean((1, 2, 3)).tolist() == one


@pytest.mark.parametrize("batch", [1, 2])
def test_a_map_of_one_value_is_all_mean(batch):
    x = torch.full((batch, 1, 1, 1), 3.0, requires_grad=True)
    given = MapNorm()(x)
    given.sum().backward()
    assert torch.equal(given, torch.zeros(batch, 1, 1, 1))
    assert x.grad.isfinite().all()


def test_squares_do_not_overflow_in_float16():
    x = torch.full((2, 64), 3e4, dtype=torch.float16)
    x[:, ::2] *= -1
    torch.testing.assert_close(UnitNorm()(x).float().norm(dim=1), torch.ones(2))
    assert torch.equal(LayerNorm(64)(x).abs(), torch.ones_like(x))


def test_batch_norm_keeps_moving_averages_and_uses_them_in_eval():
    norm = vector_norm("batch", 3, "a")
    torch.manual_seed(0)
    x = torch.randn(64, 3) * 5 + 2
    for _ in range(100):
        norm.train()(x)
    expected = (x - x.mean(0)) / x.std(0)
    torch.testing.assert_close(norm.eval()(x), expected, rtol=1e-3, atol=1e-3)
    assert len(norm.state_dict()) == 3


def test_none_is_the_same_tensor():
    x = torch.randn(2, 3)
    assert vector_norm("none", 3, "a")(x) is x
