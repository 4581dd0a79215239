"""Late fusion of two streams' scores, against loops in float64."""

from __future__ import annotations

import pytest
import torch
from toy_features import (
    NUM_CLASSES,
    assert_same_with_gradients,
    leaves,
    make_features,
    make_inputs,
    perturb,
)

from fusionkit.heads.scores.ensemble import MeanProbabilities
from fusionkit.heads.scores.two_stream import TwoStream


def chance(row, k):
    return row[k].exp() / sum(value.exp() for value in row)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("kind", ["equal", "given", "learned"])
def test_equals_the_weighted_mean_of_softmax_scores_in_loops(count, kind):
    names = ("audio", "image", "text")[:count]
    inputs = make_inputs(count, classifiers=names)
    numbers = {name: 1.5**i for i, name in enumerate(names)}
    weights = numbers if kind == "given" else kind
    head = TwoStream(inputs, num_classes=NUM_CLASSES, weights=weights).double()
    perturb(head)
    features = make_features(head, inputs, dtype=torch.float64, requires_grad=True)
    shares = {name: numbers[name] if kind == "given" else 1 for name in names}
    if kind == "learned":
        shares = {name: head.weights.log_weights[i].exp() for i, name in enumerate(names)}
    total = sum(shares.values())
    rows = []
    for b in range(3):
        mixed = [
            sum(shares[name] / total * chance(features[name].logits[b], k) for name in names)
            for k in range(NUM_CLASSES)
        ]
        rows.append(torch.stack([value.log() for value in mixed]))
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(head(features), torch.stack(rows), wanted)


def test_it_is_the_mean_of_probabilities_by_another_name():
    inputs = make_inputs(2, classifiers=["audio"])
    late = TwoStream(inputs, num_classes=NUM_CLASSES, weights="learned")
    mean = MeanProbabilities(inputs, num_classes=NUM_CLASSES, weights="learned")
    mean.load_state_dict(late.state_dict(), strict=True)
    assert late.reads == mean.reads == {"audio": "logits", "image": "vector"}
    features = make_features(late, inputs)
    assert torch.equal(late(features), mean(features))
