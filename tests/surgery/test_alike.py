"""Models of other architectures are told apart, and the difference is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from surgery_toys import BRANCHES, CATALOG, fused

import fusionkit as fk


def changed(**settings):
    return fused(rgb=replace(BRANCHES["rgb"], **settings), flow=BRANCHES["flow"])


def three():
    return fused(**BRANCHES, more=BRANCHES["rgb"])


def classes():
    return fk.replace_head(fused(), "toy/sum", num_classes=4, catalog=CATALOG).model


def grown():
    model = fused()
    model.head.out["rgb"] = torch.nn.Linear(16, 3, bias=False)
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (three, "its branches are 'rgb', 'flow', 'more', not 'rgb', 'flow'"),
        (lambda: changed(options={"width": 8}), r"branch 'rgb' has options \{'width': 8\}, not"),
        (lambda: changed(backbone="toy/vector", input="v"), "has backbone 'toy/vector', not"),
        (lambda: changed(input="other"), "has input 'other', not 'image'"),
        (
            lambda: changed(preprocessing=fk.Preprocessing(size=(8, 8))),
            r"has preprocessing Preprocessing\(.*, not None",
        ),
        (lambda: fused(head="toy/maps"), r"its head is Head\('toy/maps'\), not Head\('toy/sum'\)"),
        (classes, "its num_classes is 4, not 3"),
    ],
    ids=range(7),
)
def test_the_first_difference_is_named(make, message):
    with pytest.raises(fk.CheckpointError, match=r"models\[1\] is of another .*" + message):
        fk.average([fused(), make()])


def test_a_model_that_was_changed_by_hand_is_refused():
    with pytest.raises(fk.AssemblyError, match="changed since it was composed"):
        fk.average([fused(), grown()])


def test_weights_may_have_decided_otherwise(tmp_path):
    """Two recipes that are equal, of which a plugin's weights made two architectures."""
    from fusionkit.surgery.alike import check_alike

    other = grown()
    with pytest.raises(fk.CheckpointError, match=r"'head\.out\.rgb\.bias' is in one of them only"):
        check_alike(fused(), other, "the other")
    other.head.out["rgb"] = torch.nn.Linear(15, 3)
    with pytest.raises(fk.CheckpointError, match=r"has the shape \(3, 15\), not \(3, 16\)"):
        check_alike(fused(), other, "the other")
    check_alike(fused(0), fused(1), "the other")
