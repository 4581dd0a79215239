"""Answers are held against each other with the names and figures of what differs."""

from __future__ import annotations

import torch
from evil_keeping import Scaled
from odd_toys import OddNet, Tied
from torch import nn

import fusionkit as fk
from fusionkit.testing.backbones.keeping.answers import (
    difference,
    empty_out,
    exercise,
    held_in,
    ties,
)
from fusionkit.testing.backbones.subject import BackboneSubject

ONES = fk.Features(torch.ones(2, 3), (torch.ones(2, 3, 4, 4), torch.ones(2, 3, 2, 2)))


def test_equal_answers_have_no_difference() -> None:
    assert difference(ONES, ONES) == ""
    holes = fk.Features(torch.full((2, 3), torch.nan))
    assert difference(holes, holes) == ""


def test_each_kind_of_difference_is_told() -> None:
    vector, (fine, coarse) = ONES.vector, ONES.maps
    cases = {
        "vector is off by up to 0.5, where values reach 1": (vector * 1.5, (fine, coarse)),
        "maps[1] is not a number": (vector, (fine, coarse * torch.nan)),
        "maps[0] has the shape (2, 3, 2, 2), not (2, 3, 4, 4)": (vector, (coarse, coarse)),
        "gave vector, maps[0] instead of vector, maps[0], maps[1]": (vector, (fine,)),
        "gave nothing instead of vector, maps[0], maps[1]": (None, ()),
    }
    for said, (got, maps) in cases.items():
        assert difference(fk.Features(got, maps), ONES) == said
    off = difference(fk.Features(vector + 1, (fine + 1, coarse + 1)), ONES)
    assert off.startswith("vector is off by up to 1")
    assert off.endswith("; ...")


def test_a_tolerance_is_a_part_of_the_largest_value() -> None:
    near = fk.Features(torch.tensor([[1000.0, 1.5]]))
    assert difference(fk.Features(torch.tensor([[1000.0, 1.0]])), near, 1e-3) == ""
    assert difference(fk.Features(torch.tensor([[1000.0, 1.0]])), near, 1e-4) != ""


def test_emptied_out_it_has_nothing_of_its_state() -> None:
    module = nn.BatchNorm2d(2)
    module.register_buffer("constant", torch.ones(2), persistent=False)
    module.register_buffer("graph", torch.eye(2).to_sparse())
    empty_out(module)
    assert module.weight.isnan().all()
    assert module.running_var.isnan().all()
    assert module.num_batches_tracked == 0
    assert torch.equal(module.constant, torch.ones(2))


def test_exercise_leaves_parameters_and_no_gradients() -> None:
    subject = BackboneSubject(OddNet)
    backbone = subject.copy()
    exercise(subject, backbone)
    assert not backbone.training
    assert all(value.grad is None for value in backbone.parameters())
    for ours, theirs in zip(backbone.parameters(), subject.pristine.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_ties_are_groups_of_names() -> None:
    assert ties(Tied()) == {frozenset({"two.weight", "three.weight"})}
    assert ties(Scaled()) == frozenset()


def test_tensors_and_modules_are_found_inside_of_containers() -> None:
    layer, value = nn.Linear(2, 2), torch.ones(1)
    inside = dict(held_in({"a": [layer, 3], "b": ({"c": value},)}, "x"))
    assert inside == {"x['a'][0]": layer, "x['b'][0]['c']": value}
