"""The attention over branches against loops in float64."""

from __future__ import annotations

import pytest
import torch
from toy_features import EMBED_DIMS, NUM_CLASSES, make_features, make_inputs
from vector_loops import check, linear

import fusionkit as fk
from fusionkit.heads.vectors.attention_gate import AttentionGate


def fuse(head, vectors):
    names = list(head.projections)
    whole = []
    for name in names:
        whole += vectors.get(name, [0.0] * EMBED_DIMS[name])
    scores = dict(zip(names, linear(head.gate, whole), strict=True))
    total = sum(scores[name].exp() for name in vectors)
    fused = [0.0] * head.classifier[0].in_features
    for name, row in vectors.items():
        share = scores[name].exp() / total
        for j, value in enumerate(linear(head.projections[name], row)):
            fused[j] = fused[j] + share * value
    return fused


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("norm", ["layer", "none"])
@pytest.mark.parametrize("hidden", [None, [5]], ids=str)
def test_equals_the_formula_in_loops(count, norm, hidden):
    check(AttentionGate, fuse, count=count, norm=norm, width=4, hidden=hidden)


@pytest.mark.parametrize("only", [("audio", "text"), ("image", "text")], ids="-".join)
def test_the_softmax_goes_over_the_branches_that_are_present(only):
    check(AttentionGate, fuse, count=3, only=only, width=4)


def test_a_branch_alone_has_all_the_weight():
    inputs = make_inputs(3)
    head = AttentionGate(inputs, num_classes=NUM_CLASSES)
    features = make_features(head, inputs)
    weights = head.weigh(head.vectors({"text": features["text"]}))
    assert list(weights) == ["text"]
    assert torch.equal(weights["text"], torch.ones(3))


def test_weights_are_shares():
    inputs = make_inputs(3)
    head = AttentionGate(inputs, num_classes=NUM_CLASSES)
    weights = torch.stack(list(head.weigh(head.vectors(make_features(head, inputs))).values()))
    assert (weights > 0).all()
    assert weights.std(1).min() > 0  # other samples, other weights
    torch.testing.assert_close(weights.sum(0), torch.ones(3))


def test_a_width_is_a_whole_number():
    with pytest.raises(fk.ConfigError, match="option width takes a whole number of at least 1"):
        AttentionGate(make_inputs(2), num_classes=NUM_CLASSES, width="wide")
