"""Product of experts and maximum of probabilities, against loops over single numbers."""

from __future__ import annotations

import math
from functools import partial

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

import fusionkit as fk
import fusionkit.testing as kit
from fusionkit.heads.scores.ensemble import MeanLogProbabilities
from fusionkit.heads.scores.max_probabilities import MaxProbabilities
from fusionkit.heads.scores.product_of_experts import ProductOfExperts

HEADS = (MaxProbabilities, ProductOfExperts)
NAMES = ("audio", "image", "text")
each_head = pytest.mark.parametrize("make", HEADS, ids=lambda make: make.__name__)
OPTIONS = ({}, {"temperature": "learned", "norm": "l2"}, {"temperature": "fitted"})


def softmax(row):
    exps = [value.exp() for value in row]
    return [value / sum(exps) for value in exps]


@each_head
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("temperature", [1.0, "learned"], ids=str)
def test_equals_the_formula_in_loops(make, count, temperature):
    inputs = make_inputs(count, classifiers=NAMES)
    head = make(inputs, num_classes=NUM_CLASSES, temperature=temperature).double()
    perturb(head)
    features = make_features(head, inputs, dtype=torch.float64, requires_grad=True)
    logs = head.temperatures.log_temperatures
    rows = []
    for b in range(3):
        chances = []
        for i, each in enumerate(features.values()):
            scale = 1 if logs is None else logs[i].exp()
            chances.append(softmax([value / scale for value in each.logits[b]]))
        joined = []
        for k in range(NUM_CLASSES):
            values = [chance[k] for chance in chances]
            joined.append(max(values) if make is MaxProbabilities else math.prod(values))
        rows.append(torch.stack([(value / sum(joined)).log() for value in joined]))
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(head(features), torch.stack(rows), wanted)


def test_a_product_is_surer_than_the_geometric_mean_and_names_the_same_class():
    inputs = make_inputs(3, classifiers=NAMES)
    product = ProductOfExperts(inputs, num_classes=NUM_CLASSES)
    mean = MeanLogProbabilities(inputs, num_classes=NUM_CLASSES)
    features = make_features(product, inputs, batch=50)
    sure, timid = product(features).exp(), mean(features).exp()
    assert torch.equal(sure.argmax(1), timid.argmax(1))
    assert bool((sure.amax(1) > timid.amax(1)).all())
    tripled = MeanLogProbabilities(inputs, num_classes=NUM_CLASSES, temperature=1 / 3)
    torch.testing.assert_close(product(features), tripled(features))


def test_it_is_bayes_rule_for_independent_branches_and_equally_frequent_classes():
    # p(y | a, b) is proportional to p(a | y) p(b | y) p(y); the p(a | y) of two classes by hand
    given_a, given_b = torch.tensor([0.9, 0.3]), torch.tensor([0.2, 0.6])
    joint = given_a * given_b
    features = {
        "audio": fk.Features(logits=(given_a / given_a.sum()).log()[None]),
        "image": fk.Features(logits=(given_b / given_b.sum()).log()[None]),
    }
    inputs = {name: fk.HeadInput(5, num_classes=2) for name in features}
    head = ProductOfExperts(inputs, num_classes=2)
    torch.testing.assert_close(head(features).exp()[0], joint / joint.sum())


@each_head
def test_an_absent_branch_does_not_count(make):
    inputs = make_inputs(3, classifiers=NAMES)
    head = make(inputs, num_classes=NUM_CLASSES)
    features = make_features(head, inputs)
    two = {name: features[name] for name in ("audio", "text")}
    pair = {name: inputs[name] for name in ("audio", "text")}
    torch.testing.assert_close(head(two), make(pair, num_classes=NUM_CLASSES)(two))
    alone = {"image": features["image"]}
    torch.testing.assert_close(head(alone), features["image"].logits.log_softmax(-1))


@each_head
def test_confident_scores_neither_overflow_nor_lose_their_gradient(make):
    inputs = make_inputs(2, classifiers=NAMES)
    head = make(inputs, num_classes=NUM_CLASSES, temperature="learned")
    sure = torch.tensor([[6e4, 0.0, -6e4, 1.0]], dtype=torch.float16, requires_grad=True)
    features = {"audio": fk.Features(logits=sure), "image": fk.Features(logits=-sure)}
    loss = torch.nn.functional.cross_entropy(head(features), torch.tensor([2]))
    loss.backward()
    assert loss.isfinite()
    assert sure.grad.isfinite().all()


@each_head
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_they_keep_the_promises_of_every_head(make, options):
    kit.check_head(partial(make, **options))


@each_head
def test_compilers_take_them(make):
    report = kit.check_head(make, only=["compiles", "exports"])
    assert report["compiles"].status == report["exports"].status == "passed"


@each_head
def test_there_are_no_weights_to_set(make):
    with pytest.raises(TypeError, match="weights"):
        make(make_inputs(2), num_classes=NUM_CLASSES, weights="equal")
