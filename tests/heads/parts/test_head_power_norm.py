"""Signed square roots of length 1."""

from __future__ import annotations

import pytest
import torch

from fusionkit.heads.parts.power_norm import power_normalise, signed_sqrt


def test_roots_keep_their_sign():
    x = torch.tensor([4.0, -9.0, 0.0, 1e-10])
    torch.testing.assert_close(signed_sqrt(x), torch.tensor([2.0, -3.0, 0.0, 1e-5]))


def test_vectors_get_length_one_and_zeros_stay():
    found = power_normalise(torch.tensor([[9.0, -16.0], [0.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.6, -0.8], [0.0, 0.0]]))


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e30])
def test_gradients_are_finite_at_any_size(value):
    x = torch.tensor([[value, 0.0, -value]], requires_grad=True)
    power_normalise(x)[0, 0].backward()
    assert x.grad.isfinite().all()
    assert x.grad[0, 1] == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_comes_out_in_float32(dtype):
    found = power_normalise(torch.tensor([[60000.0, 60000.0, 1.0]], dtype=dtype))
    assert found.dtype == torch.float32
    assert found.norm().item() == pytest.approx(1)
