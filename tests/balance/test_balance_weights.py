"""Weights of losses: numbers of at least 0, for exactly the branches that are there."""

from __future__ import annotations

import pytest

import fusionkit as fk


def test_one_number_is_for_each_branch():
    assert fk.balance.LossWeights(1.0, 0.3).by_branch(["a", "b"]) == {"a": 0.3, "b": 0.3}


def test_numbers_by_branch_come_in_the_order_of_the_branches():
    weights = fk.balance.LossWeights(branches={"b": 2, "a": 1})
    assert list(weights.by_branch(["a", "b"]).items()) == [("a", 1), ("b", 2)]


def test_they_do_not_change_with_the_mapping_they_came_from():
    given = {"a": 1.0}
    weights = fk.balance.LossWeights(1.0, given)
    given["a"] = 2.0
    assert weights.by_branch(["a"]) == {"a": 1.0}


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), True, "1", None])
def test_what_is_no_weight_is_refused_by_place(weight):
    with pytest.raises(fk.PolicyError, match=r"LossWeights\.fused is a finite number"):
        fk.balance.LossWeights(weight)
    with pytest.raises(fk.PolicyError, match=r"LossWeights\.branches is a finite"):
        fk.balance.LossWeights(1.0, weight)
    with pytest.raises(fk.PolicyError, match=r"LossWeights\.branches\['a'\] is"):
        fk.balance.LossWeights(1.0, {"a": weight})


def test_an_unknown_branch_is_refused_with_a_near_name():
    with pytest.raises(
        fk.PolicyError, match=r"'lod', and there is no such branch\. Did you mean 'loud'\?"
    ):
        fk.balance.LossWeights(1.0, {"lod": 1, "quiet": 1}).by_branch(["loud", "quiet"])
    with pytest.raises(fk.PolicyError, match="The branches are loud, quiet"):
        fk.balance.LossWeights(1.0, {"x": 1}).by_branch(["loud", "quiet"])


def test_a_branch_without_weight_is_refused():
    with pytest.raises(fk.PolicyError, match="the weights lack the branch 'quiet'"):
        fk.balance.LossWeights(1.0, {"loud": 1}).by_branch(["loud", "quiet"])
