"""The gated multimodal unit against loops in float64."""

from __future__ import annotations

import pytest
from toy_features import EMBED_DIMS, NUM_CLASSES, make_inputs
from vector_loops import check, linear, sigmoid, tanh

import fusionkit as fk
from fusionkit.heads.vectors.gated_multimodal import GatedMultimodal


def states(head, vectors):
    return {
        name: [tanh(value) for value in linear(head.projections[name], row)]
        for name, row in vectors.items()
    }


def opened(head, vectors):
    whole = []
    for name in head.projections:
        whole += vectors.get(name, [0.0] * EMBED_DIMS[name])
    return [sigmoid(value) for value in linear(head.gate, whole)]


def fuse(head, vectors):
    """The general unit: a gate of its own for each branch."""
    width = head.classifier[0].in_features
    gates = opened(head, vectors)
    fused = [0.0] * width
    for place, name in enumerate(head.projections):
        if name in vectors:
            state = states(head, vectors)[name]
            for j in range(width):
                fused[j] = fused[j] + gates[place * width + j] * state[j]
    return fused


def fuse_tied(head, vectors):
    """The bimodal unit of the paper: z h_1 + (1 - z) h_2."""
    one, other = states(head, vectors).values()
    return [z * a + (1 - z) * b for z, a, b in zip(opened(head, vectors), one, other, strict=True)]


def fuse_left(head, vectors):
    """What is left of it with one branch."""
    (state,) = states(head, vectors).values()
    return state


@pytest.mark.parametrize("norm", ["layer", "none"])
@pytest.mark.parametrize("hidden", [None, [5]], ids=str)
def test_two_branches_are_the_bimodal_unit_in_loops(norm, hidden):
    check(GatedMultimodal, fuse_tied, count=2, norm=norm, width=4, hidden=hidden)


@pytest.mark.parametrize(("count", "tied"), [(1, None), (2, False), (3, None), (3, False)])
@pytest.mark.parametrize("norm", ["layer", "none"])
def test_any_number_is_the_general_unit_in_loops(count, tied, norm):
    check(GatedMultimodal, fuse, count=count, norm=norm, width=4, tied=tied)


@pytest.mark.parametrize("only", [("image",), ("audio", "text")], ids="-".join)
def test_terms_of_absent_branches_are_left_out(only):
    check(GatedMultimodal, fuse, count=3, only=only, width=4)


@pytest.mark.parametrize("only", ["audio", "image"])
def test_of_tied_gates_the_one_that_is_left_is_one(only):
    check(GatedMultimodal, fuse_left, count=2, only=(only,), width=4)


@pytest.mark.parametrize(("count", "found"), [(1, "there is 1;"), (3, "there are 3;")])
def test_gates_are_tied_for_two_branches_only(count, found):
    with pytest.raises(fk.ConfigError, match=f"for two branches, and {found} write tied=False"):
        GatedMultimodal(make_inputs(count), num_classes=NUM_CLASSES, tied=True)


def test_tied_is_true_or_false():
    with pytest.raises(fk.ConfigError, match="option tied is True or False, got 'yes'"):
        GatedMultimodal(make_inputs(2), num_classes=NUM_CLASSES, tied="yes")


def test_the_repr_says_whether_gates_are_tied():
    assert "tied=True" in repr(GatedMultimodal(make_inputs(2), num_classes=3))
    assert "tied=False" in repr(GatedMultimodal(make_inputs(3), num_classes=3))
