"""The sets of branches that a head is tried with."""

from __future__ import annotations

import pytest
import torch

import fusionkit as fk
from fusionkit.testing.heads.situations import OFFERS, draw_features, make_situations

TITLES = [
    "1 branch",
    "1 branch with classifiers",
    "2 branches",
    "2 branches with classifiers",
    "3 branches",
    "3 branches with classifiers",
    "3 branches, some with classifiers",
    "2 equal branches",
    "2 equal branches with classifiers",
    "2 branches, one without maps",
]


def test_counts_classifiers_equal_ones_and_one_without_maps_are_tried():
    situations = make_situations(("c", "a", "b"))
    assert [situation.title for situation in situations] == TITLES
    three = situations[4].inputs
    assert list(three) == ["a", "b", "c"]
    assert len({each.embed_dim for each in three.values()}) == 3
    assert len({len(each.levels) for each in three.values()}) == 3
    some = situations[6].inputs
    assert [each.num_classes for each in some.values()] == [5, None, 5]
    assert situations[9].inputs["b"].levels == ()


def test_one_name_gives_one_branch_only():
    assert [each.title for each in make_situations(["a"])] == TITLES[:2]


def test_other_numbers_of_classes_reach_the_stock_classifiers():
    situation = make_situations(("a", "b", "c"))[6].with_classes(7)
    assert [each.num_classes for each in situation.inputs.values()] == [7, None, 7]
    assert situation.num_classes == 7


def test_rows_are_the_same_in_a_batch_of_any_size():
    inputs = {"a": OFFERS[0]}
    reads = {"a": fk.Reads(vector=True, maps=(0, 1))}
    many, one = (draw_features(inputs, reads, batch=batch)["a"] for batch in (5, 1))
    assert torch.equal(many.vector[:1], one.vector)
    assert torch.equal(many.maps[1][:1], one.maps[1])
    assert [tuple(each.shape) for each in one.maps] == [(1, 6, 16, 16), (1, 10, 8, 8)]
    assert one.logits is None


@pytest.mark.parametrize(("extra", "finite"), [("filled", True), ("nan", False)])
def test_what_is_not_read_can_be_there_all_the_same(extra, finite):
    inputs = {"a": OFFERS[0]}
    drawn = draw_features(inputs, {"a": fk.Reads(vector=True)}, extra=extra)["a"]
    exact = draw_features(inputs, {"a": fk.Reads(vector=True)})["a"]
    assert torch.equal(drawn.vector, exact.vector)
    assert exact.maps == ()
    assert all(bool(each.isfinite().all()) == finite for each in drawn.maps)
    assert len(drawn.maps) == 2
