"""Greedy ensemble selection against loops, and against all ensembles of a size."""

from __future__ import annotations

import math
from functools import partial
from itertools import combinations_with_replacement

import pytest
import torch
from torch.nn import functional as F
from toy_features import NUM_CLASSES, make_features, make_inputs

import fusionkit as fk
import fusionkit.testing as kit
from fusionkit.heads.scores.ensemble import MeanProbabilities
from fusionkit.heads.scores.greedy_selection import GreedySelection, select

NAMES = ("a", "b", "c", "d")


def samples(strengths=(2.0, 1.5, 0.5, 0.0), count=60):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % NUM_CLASSES
    known = F.one_hot(labels, NUM_CLASSES).double()
    features = {}
    for name, strength in zip(NAMES, strengths, strict=True):
        noise = torch.randn(count, NUM_CLASSES, generator=generator, dtype=torch.float64)
        features[name] = fk.Features(logits=2 * (strength * known + noise))
    return features, labels


def build(**options):
    inputs = {name: fk.HeadInput(5, num_classes=NUM_CLASSES) for name in NAMES}
    return GreedySelection(inputs, num_classes=NUM_CLASSES, **options).double().eval()


def value(members, chances, labels, metric):
    """How good the average of some members is, one sample at a time."""
    loss = right = 0.0
    for n, label in enumerate(labels.tolist()):
        mixed = [sum(chances[m][n][k] for m in members) / len(members) for k in range(NUM_CLASSES)]
        loss -= math.log(mixed[label])
        right += mixed.index(max(mixed)) == label
    return (-loss,) if metric == "log_loss" else (right, -loss)


def greedy(chances, labels, metric, rounds, start):
    """The procedure of the paper, in words of Python."""
    everyone = range(len(chances))
    order = sorted(everyone, key=lambda m: value([m], chances, labels, metric), reverse=True)
    members = order[:start]
    path = [list(members)]
    while len(members) < rounds:
        members = max(
            ([*members, m] for m in everyone), key=lambda ms: value(ms, chances, labels, metric)
        )
        path.append(members)
    best = max(path, key=lambda ms: value(ms, chances, labels, metric))
    return [best.count(m) for m in everyone]


@pytest.mark.parametrize("metric", ["log_loss", "accuracy"])
@pytest.mark.parametrize("start", [1, 3])
def test_equals_the_papers_procedure_in_loops(metric, start):
    features, labels = samples()
    chances = torch.stack([each.logits.softmax(-1) for each in features.values()])
    found = select(chances, labels, metric, 12, start)
    assert found.tolist() == greedy(chances.tolist(), labels, metric, 12, start)


def test_weights_are_counts_divided_by_the_size():
    features, labels = samples()
    head = build(rounds=12)
    head.fit(features, labels)
    chances = torch.stack([each.logits.softmax(-1) for each in features.values()])
    counts = select(chances, labels, "log_loss", 12, 1)
    shares = (counts / counts.sum()).tolist()
    assert list(head.weights.as_dict().values()) == pytest.approx(shares, abs=1e-6)
    mixed = sum(w * p for w, p in zip(shares, chances, strict=True)).log()
    torch.testing.assert_close(head(features), mixed, rtol=1e-5, atol=1e-5)


def test_it_comes_near_the_best_of_all_ensembles_of_its_size():
    features, labels = samples()
    chances = torch.stack([each.logits.softmax(-1) for each in features.values()]).tolist()
    best = max(
        value(members, chances, labels, "log_loss")
        for members in combinations_with_replacement(range(4), 6)
    )
    found = greedy(chances, labels, "log_loss", 6, 1)
    members = [m for m in range(4) for _ in range(found[m])]
    assert value(members, chances, labels, "log_loss")[0] > best[0] - 0.5


def test_it_is_never_worse_than_the_best_branch_on_what_it_was_selected_by():
    for metric in ("log_loss", "accuracy"):
        features, labels = samples((2.0, -1.0, -1.0, -1.0))
        head = build(metric=metric)
        head.fit(features, labels)
        answer = head(features)
        alone = [each.logits.log_softmax(-1) for each in features.values()]
        if metric == "log_loss":
            best = min(float(F.nll_loss(each, labels)) for each in alone)
            assert float(F.nll_loss(answer, labels)) <= best + 1e-6
        else:
            best = max(float((each.argmax(1) == labels).double().mean()) for each in alone)
            assert float((answer.argmax(1) == labels).double().mean()) >= best


def test_before_a_fit_all_count_alike():
    features, _ = samples()
    head = build()
    inputs = {name: fk.HeadInput(5, num_classes=NUM_CLASSES) for name in NAMES}
    mean = MeanProbabilities(inputs, num_classes=NUM_CLASSES)
    torch.testing.assert_close(head(features), mean(features))


def test_branches_without_weight_answer_alike_when_the_others_are_absent():
    features, labels = samples((3.0, 3.0, -3.0, -3.0))
    head = build()
    head.fit(features, labels)
    assert head.weights.as_dict()["c"] < 1e-9
    left = {name: features[name] for name in ("c", "d")}
    mixed = sum(each.logits.softmax(-1) for each in left.values()) / 2
    torch.testing.assert_close(head(left), mixed.log())


def test_bags_select_from_parts_and_are_the_same_each_time():
    features, labels = samples()
    heads = [build(bags=20, share=0.5) for _ in range(2)]
    for seed, head in enumerate(heads):
        torch.manual_seed(seed)
        head.fit(features, labels)
    assert heads[0].weights.as_dict() == heads[1].weights.as_dict()
    once = build()
    once.fit(features, labels)
    assert heads[0].weights.as_dict()["c"] > once.weights.as_dict()["c"]


def test_temperatures_are_fitted_before():
    features, labels = samples()
    head = build(temperature="fitted")
    head.fit(features, labels)
    known = build(temperature=head.temperatures.as_dict())
    known.fit(features, labels)
    assert head.weights.as_dict() == pytest.approx(known.weights.as_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "loss"}, "option metric is 'log_loss' or 'accuracy', got 'loss'"),
        ({"rounds": 0}, "option rounds takes a whole number of at least 1"),
        ({"start": 0}, "option start takes a whole number of at least 1"),
        ({"bags": 0}, "option bags takes a whole number of at least 1"),
        ({"share": 0}, "above 0 and up to 1, got 0"),
        ({"share": True}, "above 0 and up to 1, got True"),
    ],
    ids=str,
)
def test_a_wrong_value_says_what_to_write_instead(options, message):
    with pytest.raises(fk.ConfigError, match=message):
        build(**options)


def test_weights_are_no_option():
    with pytest.raises(TypeError, match="weights"):
        build(weights="equal")


@pytest.mark.parametrize(
    "options",
    [{}, {"metric": "accuracy", "bags": 3, "start": 2}, {"temperature": "fitted"}],
    ids=str,
)
def test_it_keeps_the_promises_of_every_head(options):
    kit.check_head(partial(GreedySelection, **options))


def test_compilers_take_it():
    report = kit.check_head(GreedySelection, only=["compiles", "exports"])
    assert report["compiles"].status == report["exports"].status == "passed"


def test_layers_of_its_own_are_fitted_too():
    inputs = make_inputs(2)
    head = GreedySelection(inputs, num_classes=NUM_CLASSES).eval()
    features = make_features(head, inputs, batch=40)
    head.fit(features, torch.arange(40) % NUM_CLASSES)
    assert sum(head.weights.as_dict().values()) == pytest.approx(1)
    assert head(features).isfinite().all()


def test_each_bag_has_the_same_say_and_two_branches_at_least():
    features, labels = samples()
    once = build()
    once.fit(features, labels)
    whole = build(bags=3, share=1.0)
    whole.fit(features, labels)
    assert whole.weights.as_dict() == pytest.approx(once.weights.as_dict())
    two = {name: features[name] for name in ("a", "c")}
    inputs = {name: fk.HeadInput(4, num_classes=NUM_CLASSES) for name in two}
    pair = GreedySelection(inputs, num_classes=NUM_CLASSES, bags=2, share=0.5)
    alone = GreedySelection(inputs, num_classes=NUM_CLASSES)
    for head in (pair, alone):
        head.fit(two, labels)
    assert pair.weights.as_dict() == pytest.approx(alone.weights.as_dict())


def test_a_lone_member_is_not_repeated_for_rounding():
    torch.manual_seed(0)
    chances = torch.randn(1, 50, 3, dtype=torch.float64).softmax(-1)
    labels = torch.arange(50) % 3
    assert select(chances, labels, "log_loss", 100, 1).tolist() == [1]
    assert select(chances, labels, "accuracy", 100, 1).tolist() == [1]
