"""Half precision, widened."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusionkit.heads.parts.precision import at_least_float32, at_own_precision


@pytest.mark.parametrize(
    ("dtype", "wider"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_only_half_precision_is_widened(dtype, wider):
    assert at_least_float32(torch.ones(2, dtype=dtype)).dtype == wider


def test_a_layer_at_its_own_precision_ignores_autocast():
    layer = nn.Linear(1, 1, bias=False)
    x = torch.full((1, 1), 1e6)
    with torch.autocast("cpu", dtype=torch.float16):
        assert not (x @ layer.weight).isfinite().all()
        found = at_own_precision(layer, x)
    assert found.dtype == torch.float32
    assert torch.equal(found, layer(x))


def test_a_layer_in_half_precision_takes_what_was_widened():
    layer = nn.Linear(1, 1).to(torch.bfloat16)
    assert at_own_precision(layer, torch.ones(1, 1)).dtype == torch.bfloat16


def test_layers_at_their_own_precision_work_without_data():
    layer = nn.Linear(2, 3, device="meta")
    assert at_own_precision(layer, torch.ones(4, 2, device="meta")).shape == (4, 3)
