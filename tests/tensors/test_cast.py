"""Types that a file says are given to what is there, and nothing else changes."""

from __future__ import annotations

import torch
from torch import nn

from fusionkit.tensors.cast import cast_floats


def test_parameters_and_buffers_change_type_and_stay_themselves() -> None:
    layer = nn.Sequential(nn.BatchNorm2d(3))
    weight = layer[0].weight
    dtypes = {"0.weight": torch.float16, "0.running_mean": torch.bfloat16, "absent": torch.float16}
    cast_floats(layer, dtypes)
    assert layer[0].weight is weight
    assert weight.dtype == torch.float16
    assert weight.requires_grad
    assert layer[0].running_mean.dtype == torch.bfloat16
    assert layer[0].bias.dtype == torch.float32


def test_other_kinds_are_left_alone() -> None:
    layer = nn.BatchNorm2d(3)
    cast_floats(layer, {"num_batches_tracked": torch.float32, "weight": torch.int64})
    assert layer.num_batches_tracked.dtype == torch.int64
    assert layer.weight.dtype == torch.float32


def test_ties_stay() -> None:
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    two.weight = one.weight
    for layer in (one, two):
        layer.register_buffer("table", torch.ones(2))
    two.table = one.table
    model = nn.Sequential(one, two)
    cast_floats(model, {"0.weight": torch.float16, "1.table": torch.float16})
    assert one.weight is two.weight
    assert one.table is two.table
    assert one.weight.dtype == one.table.dtype == torch.float16
