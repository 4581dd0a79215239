"""Zeros in the place of what is absent."""

from __future__ import annotations

import pytest
import torch

from fusionkit.heads.parts.absent import with_zeros


@pytest.mark.parametrize("rest", [(), (4, 5)], ids=["vectors", "maps"])
def test_absent_branches_are_zeros_of_their_width(rest):
    there = torch.randn(2, 3, *rest, dtype=torch.float64)
    first, second, third = with_zeros({"b": there}, ("a", "b", "c"), (7, 3, 1))
    assert second is there
    assert first.shape == (2, 7, *rest)
    assert third.shape == (2, 1, *rest)
    assert first.dtype == third.dtype == torch.float64
    assert not first.any()
    assert not third.any()
