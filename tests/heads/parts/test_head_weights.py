"""How much each branch counts in an average."""

from __future__ import annotations

import pytest
import torch

from fusionkit.heads.parts.weights import BranchWeights


def test_given_weights_are_brought_to_the_simplex():
    weights = BranchWeights(["a", "b", "c"], {"c": 1, "b": 5, "a": 2})
    assert weights.as_dict() == {"a": 0.25, "b": 0.625, "c": 0.125}
    assert weights.as_dict() == pytest.approx(
        BranchWeights(["a", "b", "c"], {"a": 2e-300, "b": 5e-300, "c": 1e-300}).as_dict()
    )


def test_learned_weights_stay_on_the_simplex_wherever_they_go():
    weights = BranchWeights(["a", "b"], "learned")
    assert weights.as_dict() == {"a": 0.5, "b": 0.5}
    with torch.no_grad():
        weights.log_weights.copy_(torch.tensor([-200.0, 50.0]))
    assert weights.as_dict() == {"a": 0.0, "b": 1.0}
    terms = {"a": torch.tensor([[1.0]]), "b": torch.tensor([[2.0]])}
    assert weights.average(terms) == 2.0
    assert weights.log_average_exp(terms) == 2.0


def test_one_branch_passes_through_bit_for_bit():
    x = torch.randn(3, 4)
    weights = BranchWeights(["only"])
    assert torch.equal(weights.average({"only": x}), x)
    assert torch.equal(weights.log_average_exp({"only": x}), x)
