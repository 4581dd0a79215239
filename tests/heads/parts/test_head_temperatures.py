"""How much each branch's scores are softened."""

from __future__ import annotations

import torch

from fusionkit.heads.parts.temperatures import BranchTemperatures


def test_learned_ones_stay_positive():
    temperatures = BranchTemperatures(["a", "b"], "learned")
    assert temperatures.as_dict() == {"a": 1.0, "b": 1.0}
    with torch.no_grad():
        temperatures.log_temperatures.copy_(torch.tensor([-3.0, 3.0]))
    assert all(value > 0 for value in temperatures.as_dict().values())


def test_branches_that_are_left_out_keep_one():
    temperatures = BranchTemperatures(["a", "b"], {"b": 4})
    x = torch.randn(2, 3)
    first, second = temperatures({"a": x, "b": x}).values()
    assert torch.equal(first, x)
    assert torch.equal(second, x / 4)
