"""Half precision, widened."""

from __future__ import annotations

import pytest
import torch

from fusionkit.heads.parts.precision import at_least_float32


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
