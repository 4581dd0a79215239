"""The three averages against loops over single numbers in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from toy_features import (
    NUM_CLASSES,
    assert_same_with_gradients,
    leaves,
    make_features,
    make_inputs,
    perturb,
)

import fusionkit as fk
from fusionkit.heads.scores.ensemble import MeanLogits, MeanLogProbabilities, MeanProbabilities

HEADS = (MeanLogits, MeanProbabilities, MeanLogProbabilities)
each_head = pytest.mark.parametrize("make", HEADS, ids=lambda make: make.__name__)


def softmax(row):
    exps = [value.exp() for value in row]
    return [value / sum(exps) for value in exps]


def standardise(row):
    mean = sum(row) / len(row)
    variance = sum((value - mean) ** 2 for value in row) / len(row)
    return [(value - mean) / (variance + 1e-12).sqrt() for value in row]


def linear(layer, row):
    return [
        sum(layer.weight[k, j] * row[j] for j in range(len(row))) + layer.bias[k]
        for k in range(layer.out_features)
    ]


def reference(make, head, features):
    """The formulas of the docstrings, one sample, branch and class at a time."""
    names = sorted(features)
    learned = head.weights.log_weights
    weights = head.weights.given if learned is None else softmax(list(learned))
    logs = head.temperatures.log_temperatures
    temperatures = head.temperatures.given if logs is None else [value.exp() for value in logs]
    rows = []
    for sample in range(len(leaves(features)[0])):
        scores = []
        for name, temperature in zip(names, temperatures, strict=True):
            feature = features[name]
            if feature.logits is not None:
                row = list(feature.logits[sample])
            else:
                block = head.scores.classifiers[name]
                row = linear(block.linear, standardise(list(feature.vector[sample])))
            scores.append([value / temperature for value in row])
        row = []
        if make is MeanLogits:
            for k in range(NUM_CLASSES):
                row.append(sum(w * z[k] for w, z in zip(weights, scores, strict=True)))
        else:
            chances = [softmax(z) for z in scores]
            pairs = list(zip(weights, chances, strict=True))
            if make is MeanProbabilities:
                mixed = [sum(w * p[k] for w, p in pairs) for k in range(NUM_CLASSES)]
            else:
                mixed = [math.prod(p[k] ** w for w, p in pairs) for k in range(NUM_CLASSES)]
                mixed = [value / sum(mixed) for value in mixed]
            row = [value.log() for value in mixed]
        rows.append(torch.stack(row))
    return torch.stack(rows)


@each_head
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("classifiers", [(), ("audio", "image", "text"), ("image",)])
@pytest.mark.parametrize("kind", ["equal", "given", "learned"])
def test_equals_the_formula_in_loops(make, count, classifiers, kind):
    inputs = make_inputs(count, classifiers=classifiers)
    options = {
        "equal": {},
        "given": {
            "weights": {name: 1.0 + 2 * i for i, name in enumerate(inputs)},
            "temperature": {name: 0.5 + i for i, name in enumerate(inputs)},
        },
        "learned": {"weights": "learned", "temperature": "learned"},
    }[kind]
    head = make(inputs, num_classes=NUM_CLASSES, **options).double()
    perturb(head)
    features = make_features(head, inputs, dtype=torch.float64, requires_grad=True)
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(head(features), reference(make, head, features), wanted)


@pytest.mark.parametrize("make", [MeanProbabilities, MeanLogProbabilities])
def test_the_softmax_of_the_output_is_the_ensembles_probability(make):
    inputs = make_inputs(3, classifiers=["image"])
    head = make(inputs, num_classes=NUM_CLASSES)
    output = head(make_features(head, inputs))
    torch.testing.assert_close(output.exp().sum(-1), torch.ones(3))
    torch.testing.assert_close(output.softmax(-1), output.exp())


def test_the_three_names_average_three_things():
    inputs = make_inputs(2, classifiers=["audio", "image"])
    outputs = []
    for make in HEADS:
        head = make(inputs, num_classes=NUM_CLASSES)
        outputs.append(head(make_features(head, inputs)))
    logits, probabilities, logs = outputs
    assert not torch.allclose(logits.softmax(-1), probabilities.softmax(-1), atol=1e-2)
    assert not torch.allclose(logits, logs, atol=1e-2)
    torch.testing.assert_close(logits.softmax(-1), logs.softmax(-1))


@each_head
def test_two_pretrained_classifiers_need_no_training(make):
    inputs = make_inputs(2, classifiers=["audio", "image"])
    head = make(inputs, num_classes=NUM_CLASSES)
    assert list(head.parameters()) == []
    assert head.state_dict() == {}
    assert head.reads == {"audio": "logits", "image": "logits"}


@each_head
def test_a_branch_without_the_right_classifier_gets_a_new_one(make):
    inputs = make_inputs(2, classifiers=["image"])
    inputs["text"] = fk.HeadInput(embed_dim=3, num_classes=NUM_CLASSES + 1)
    head = make(inputs, num_classes=NUM_CLASSES)
    assert head.reads == {"audio": "vector", "image": "logits", "text": "vector"}
    assert set(head.scores.classifiers) == {"audio", "text"}


@each_head
def test_equal_weights_are_the_plain_mean_and_learned_ones_start_there(make):
    inputs = make_inputs(3, classifiers=["audio", "image", "text"])
    plain = make(inputs, num_classes=NUM_CLASSES)
    learned = make(inputs, num_classes=NUM_CLASSES, weights="learned", temperature="learned")
    features = make_features(plain, inputs)
    torch.testing.assert_close(learned(features), plain(features))


@each_head
def test_confident_scores_neither_overflow_nor_lose_their_gradient(make):
    inputs = make_inputs(2, classifiers=["audio", "image"])
    head = make(inputs, num_classes=NUM_CLASSES, weights="learned", temperature="learned")
    sure = torch.tensor([[6e4, 0.0, -6e4, 1.0]], dtype=torch.float16, requires_grad=True)
    features = {"audio": fk.Features(logits=sure), "image": fk.Features(logits=-sure)}
    loss = nn.functional.cross_entropy(head(features), torch.tensor([2]))
    loss.backward()
    assert loss.isfinite()
    assert sure.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in head.parameters())


@each_head
def test_a_branch_of_weight_zero_does_not_count(make):
    inputs = make_inputs(2, classifiers=["audio", "image"])
    both = make(inputs, num_classes=NUM_CLASSES, weights={"audio": 2, "image": 0})
    alone = make(make_inputs(1, classifiers=["audio"]), num_classes=NUM_CLASSES)
    features = make_features(both, inputs, requires_grad=True)
    output = both(features)
    torch.testing.assert_close(output, alone({"audio": features["audio"]}))
    output.square().sum().backward()
    assert torch.equal(features["image"].logits.grad, torch.zeros(3, NUM_CLASSES))
    assert features["audio"].logits.grad.isfinite().all()


def test_a_temperature_of_one_over_n_makes_the_product_of_experts():
    inputs = make_inputs(2, classifiers=["audio", "image"])
    head = MeanLogProbabilities(inputs, num_classes=NUM_CLASSES, temperature=0.5)
    features = make_features(head, inputs)
    product = features["audio"].logits.softmax(-1) * features["image"].logits.softmax(-1)
    torch.testing.assert_close(head(features).exp(), product / product.sum(-1, keepdim=True))


def test_learned_weights_find_the_better_branch():
    torch.manual_seed(0)
    inputs = make_inputs(2, classifiers=["audio", "image"])
    head = MeanProbabilities(inputs, num_classes=NUM_CLASSES, weights="learned")
    labels = torch.arange(64) % NUM_CLASSES
    good = nn.functional.one_hot(labels, NUM_CLASSES) * 2.0 + torch.randn(64, NUM_CLASSES)
    features = {
        "audio": fk.Features(logits=good),
        "image": fk.Features(logits=torch.randn(64, NUM_CLASSES)),
    }
    optimizer = torch.optim.SGD(head.parameters(), lr=1.0)
    for _ in range(50):
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(features), labels).backward()
        optimizer.step()
    weights = head.weights.as_dict()
    assert weights["audio"] > 0.8
    assert sum(weights.values()) == pytest.approx(1)


def test_the_repr_says_what_is_averaged_and_how():
    inputs = make_inputs(2, classifiers=["image"])
    head = MeanProbabilities(
        inputs,
        num_classes=NUM_CLASSES,
        weights={"audio": 7, "image": 3},
        temperature={"image": 2},
    )
    text = repr(head)
    assert text.startswith("MeanProbabilities(")
    assert "BranchWeights(audio=0.7, image=0.3)" in text
    assert "BranchTemperatures(audio=1, image=2)" in text
    assert "own classifiers: image" in text
    learned = MeanLogits(inputs, num_classes=2, weights="learned", temperature="learned")
    assert "BranchWeights(learned for audio, image)" in repr(learned)
    assert "BranchTemperatures(learned for audio, image)" in repr(learned)
