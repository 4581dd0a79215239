"""What becomes of several vectors, component by component."""

from __future__ import annotations

import torch

from fusionkit.heads.parts.pools import POOLS, max_of, mean_of, product_of, sum_of

ROWS = [torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, -4.0]]), torch.tensor([[2.0, 0.5]])]


def test_each_is_what_its_name_says():
    assert sum_of(ROWS).tolist() == [[6.0, -5.5]]
    assert mean_of(ROWS[:2]).tolist() == [[2.0, -3.0]]
    assert product_of(ROWS).tolist() == [[6.0, 4.0]]
    assert max_of(ROWS).tolist() == [[3.0, 0.5]]


def test_of_one_each_is_itself():
    for pool in (*POOLS.values(), product_of):
        assert torch.equal(pool(ROWS[:1]), ROWS[0])
