"""Squeeze-and-excitation over all branches against loops in float64."""

from __future__ import annotations

import pytest
from toy_features import EMBED_DIMS, NUM_CLASSES, make_inputs
from vector_loops import check, linear, relu, sigmoid

import fusionkit as fk
from fusionkit.heads.vectors.squeeze_gate import SqueezeGate


def fuse(head, vectors):
    whole = []
    for name, block in head.vectors.blocks.items():
        layer = getattr(block, "linear", None)
        width = EMBED_DIMS[name] if layer is None else layer.out_features
        row = vectors.get(name)
        if row is None:
            whole += [0.0] * width
        else:
            whole += row if layer is None else linear(layer, row)
    narrow = [relu(value) for value in linear(head.gate.squeeze, whole)]
    gates = [sigmoid(value) for value in linear(head.gate.excite, narrow)]
    return [gate * value for gate, value in zip(gates, whole, strict=True)]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("norm", ["layer", "none"])
@pytest.mark.parametrize("project", [None, 4, {"audio": 6}], ids=str)
def test_equals_the_formula_in_loops(count, norm, project):
    check(SqueezeGate, fuse, count=count, norm=norm, project=project, reduction=3)


@pytest.mark.parametrize("only", [("image",), ("audio", "text")], ids="-".join)
def test_absent_branches_count_as_zeros(only):
    check(SqueezeGate, fuse, count=3, only=only, project=4, reduction=2, hidden=[5])


@pytest.mark.parametrize(("reduction", "narrow"), [(1, 12), (4, 3), (5, 2), (100, 1)])
def test_the_ratio_says_how_narrow_the_gate_is(reduction, narrow):
    head = SqueezeGate(make_inputs(2), num_classes=NUM_CLASSES, reduction=reduction)
    assert head.gate.squeeze.out_features == narrow


def test_a_ratio_is_a_whole_number():
    with pytest.raises(fk.ConfigError, match="option reduction takes a whole number of at least 1"):
        SqueezeGate(make_inputs(2), num_classes=NUM_CLASSES, reduction=0.5)
