"""AutoGluon's fusion perceptron against loops in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toy_features import NUM_CLASSES, make_features, make_inputs
from vector_loops import check, linear

from fusionkit.heads.vectors.concat import Concat
from fusionkit.heads.vectors.project_concat import ProjectConcat


def fuse(head, vectors):
    row = []
    for name, block in head.vectors.blocks.items():
        absent = torch.zeros(block.linear.out_features).double()
        row += linear(block.linear, vectors[name]) if name in vectors else absent.unbind()
    return row


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("norm", ["layer", "none"])
@pytest.mark.parametrize("hidden", [6, [6, 5]], ids=str)
def test_equals_the_formula_in_loops(count, norm, hidden):
    check(ProjectConcat, fuse, count=count, norm=norm, width=4, hidden=hidden)


def test_absent_branches_count_as_zeros():
    check(ProjectConcat, fuse, count=3, only=("audio", "text"), width=4, hidden=6)


def test_the_width_is_that_of_the_widest_branch_by_default():
    head = ProjectConcat(make_inputs(3), num_classes=NUM_CLASSES)
    assert head.vectors.widths == (7, 7, 7)


def test_without_its_norms_it_is_concat_with_project_and_hidden():
    inputs = make_inputs(2)
    torch.manual_seed(0)
    head = ProjectConcat(inputs, num_classes=NUM_CLASSES, width=4, hidden=6, dropout=0)
    head.classifier[0] = nn.Identity()
    torch.manual_seed(0)
    concat = Concat(inputs, num_classes=NUM_CLASSES, project=4, hidden=6, activation="gelu")
    features = make_features(head, inputs)
    assert torch.equal(head(features), concat(features))
