"""The adaptive pool: its formula in loops, what a fit finds, and that it does no harm."""

from __future__ import annotations

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
from fusionkit import testing as kit
from fusionkit.heads.plugin import fusionkit_heads
from fusionkit.heads.scores.adaptive import LEAST, Adaptive

OPTIONS = [{}, {"norm": "batch", "joint": False}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_passes_the_kit(options):
    kit.check_head(partial(fusionkit_heads()["adaptive"], **options)).raise_for_failures()


@pytest.mark.slow
def test_passes_the_slow_checks():
    kit.check_head(fusionkit_heads()["adaptive"], only=["compiles", "exports"]).raise_for_failures()


def linear(layer, row):
    return [
        sum(layer.weight[k, j] * row[j] for j in range(len(row))) + layer.bias[k]
        for k in range(layer.out_features)
    ]


def log_softmax(row):
    total = sum(value.exp() for value in row).log()
    return [value - total for value in row]


def reference(head, features):
    """The formula of the docstring, one sample, classifier and class at a time."""
    names = sorted(features)
    weights = [value.exp() for value in head.weights.log_weights]
    rows = []
    for sample in range(len(leaves(features)[0])):
        scores, joined = [], []
        for name in names:
            if features[name].logits is not None:
                scores.append(list(features[name].logits[sample]))
                continue
            row = list(features[name].vector[sample])
            length = sum(value**2 for value in row).sqrt()
            row = [value / length for value in row]
            joined += row
            scores.append(linear(head.scores.classifiers[name].linear, row))
        if head.joint is not None:
            scores.append(linear(head.joint, joined))
        row = []
        for k in range(NUM_CLASSES):
            terms = [w * log_softmax(z)[k] for w, z in zip(weights, scores, strict=True)]
            row.append(head.log_sharpness.exp() * sum(terms) / sum(weights))
        rows.append(torch.stack(log_softmax(row)))
    return torch.stack(rows)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("classifiers", [(), ("image",), ("audio", "image", "text")])
def test_equals_the_formula_in_loops(count, classifiers):
    inputs = make_inputs(count, classifiers=classifiers)
    head = Adaptive(inputs, num_classes=NUM_CLASSES).double()
    perturb(head)
    features = make_features(head, inputs, dtype=torch.float64, requires_grad=True)
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(head(features), reference(head, features), wanted)


def make_data(signals, count=40, width=6, classes=2, seed=0):
    """Gives vectors by branch whose classes lie the farther apart the larger its signal."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    features = {}
    for name, signal in signals.items():
        centres = torch.nn.functional.one_hot(torch.arange(classes), width).float() * signal
        noise = torch.randn(count, width, generator=generator)
        features[name] = fk.Features(vector=centres[labels] + noise)
    return features, labels


def take(features, rows):
    return {name: fk.Features(vector=each.vector[rows]) for name, each in features.items()}


def build(features, classes=2, **options):
    inputs = {name: fk.HeadInput(each.vector.shape[1]) for name, each in features.items()}
    return Adaptive(inputs, num_classes=classes, **options).eval()


def accuracy(scores, labels):
    return (scores.argmax(-1) == labels).float().mean().item()


def test_a_fit_finds_the_branch_that_knows_and_silences_the_one_that_does_not():
    features, labels = make_data({"knows": 6.0, "noise": 0.0})
    head = build(features)
    head.fit(features, labels)
    weights = head.weights.as_dict()
    assert weights["noise"] < 0.1
    assert sum(weights.values()) == pytest.approx(1)
    assert min(weights.values()) >= LEAST / 2


def test_the_same_samples_give_the_same_head_whatever_was_fitted_before():
    features, labels = make_data({"a": 2.0, "b": 1.0})
    other, others = make_data({"a": 0.5, "b": 3.0}, seed=1)
    head, fresh = build(features, norm="batch"), build(features, norm="batch")
    head.fit(other, others)
    head.fit(features, labels)
    fresh.fit(features, labels)
    assert all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(
            head.state_dict().values(), fresh.state_dict().values(), strict=True
        )
    )


def test_few_samples_that_all_come_out_right_prove_no_certainty():
    features, labels = make_data({"a": 30.0, "b": 30.0}, count=10)
    head = build(features)
    head.fit(features, labels)
    top = head(features).exp().max(-1).values
    assert top.min() > 0.6
    assert top.max() < 0.99


def test_without_refit_the_classifiers_stay_and_the_weights_are_set():
    features, labels = make_data({"a": 3.0, "b": 0.0}, count=200)
    head = build(features, refit=False, joint=False)
    trained = build(features, joint=False)
    trained.fit(take(features, slice(100)), labels[:100])
    head.load_state_dict(trained.state_dict())
    head.weights.log_weights.data.zero_()
    before = {name: value.clone() for name, value in head.scores.state_dict().items()}
    head.fit(take(features, slice(100, None)), labels[100:])
    assert all(torch.equal(value, before[name]) for name, value in head.scores.state_dict().items())
    assert head.weights.as_dict()["a"] > 0.8


def test_stock_classifiers_are_weighed_by_what_they_say_of_the_samples():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    right = torch.nn.functional.one_hot(labels, 3) * 4 + torch.randn(60, 3, generator=generator)
    inputs = dict.fromkeys(("good", "noise"), fk.HeadInput(embed_dim=4, num_classes=3))
    head = Adaptive(inputs, num_classes=3).eval()
    noise = torch.randn(60, 3, generator=generator)
    features = {"good": fk.Features(logits=right), "noise": fk.Features(logits=noise)}
    head.fit(features, labels)
    assert head.joint is None
    assert head.weights.as_dict()["good"] > 0.9


def make_mixed(count, seed):
    """Gives vectors that tell four classes apart, logits of another branch that do not, labels."""
    vectors, labels = make_data({"good": 3.0}, count=count, classes=4, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    return vectors["good"].vector, 5 * torch.randn(count, 4, generator=generator), labels


@pytest.mark.parametrize("count", [8, 20])
def test_likeness_says_nothing_of_scores_that_a_branch_brings_along(count):
    inputs = {"good": fk.HeadInput(6), "bad": fk.HeadInput(6, num_classes=4)}
    means = {("good",): 0.0, ("bad", "good"): 0.0}
    for seed in range(4):
        vectors, logits, labels = make_mixed(count + 1000, seed)

        def rows(which, names, vectors=vectors, logits=logits):
            both = {"good": fk.Features(vectors[which]), "bad": fk.Features(logits=logits[which])}
            return {name: both[name] for name in names}

        for names in means:
            head = Adaptive({n: inputs[n] for n in names}, num_classes=4, norm="none").eval()
            head.fit(rows(slice(count), names), labels[:count])
            answer = head(rows(slice(count, None), names))
            means[names] += accuracy(answer, labels[count:]) / 4
        assert head.weights.as_dict()["bad"] < 0.25
    assert means["bad", "good"] > means["good",] - 0.03


def test_where_a_branch_is_absent_the_others_answer_without_the_joint_classifier():
    features, labels = make_data({"a": 3.0, "b": 3.0})
    head = build(features)
    head.fit(features, labels)
    alone = head({"a": features["a"]})
    scores = head.branch_scores({"a": features["a"]})["a"]
    expected = (head.log_sharpness.exp() * scores.log_softmax(-1)).log_softmax(-1)
    torch.testing.assert_close(alone, expected)


def test_no_class_with_two_samples_is_refused():
    features, _ = make_data({"a": 1.0}, count=2)
    with pytest.raises(fk.DataError, match="no class has two samples"):
        build(features).fit(features, torch.tensor([0, 1]))


def draw_scores(features, labels, per_class, seeds, **options):
    """Gives the mean accuracy over draws of each branch alone and of all together."""
    found = {name: [] for name in (*features, "all")}
    classes = int(labels.max()) + 1
    for seed in seeds:
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        own = [order[labels[order] == label] for label in range(classes)]
        learn = torch.cat([each[:per_class] for each in own])
        check = torch.cat([each[per_class:] for each in own])
        for title, values in found.items():
            names = features if title == "all" else [title]
            chosen = {name: features[name] for name in names}
            head = build(chosen, classes, **options)
            head.fit(take(chosen, learn), labels[learn])
            values.append(accuracy(head(take(chosen, check)), labels[check]))
    return {title: sum(values) / len(values) for title, values in found.items()}


@pytest.mark.parametrize("weak", [0.0, 0.7], ids=["noise", "weak"])
@pytest.mark.parametrize("per_class", [5, 20])
def test_a_weak_partner_does_no_harm(weak, per_class):
    features, labels = make_data({"strong": 3.5, "weak": weak}, count=400, width=12)
    means = draw_scores(features, labels, per_class, range(5))
    assert means["strong"] > means["weak"] + 0.1
    assert means["all"] > means["strong"] - 0.015


@pytest.mark.parametrize("per_class", [5, 20])
def test_branches_that_complement_each_other_are_better_together(per_class):
    datasets = pytest.importorskip("sklearn.datasets", reason="the digits")
    digits = datasets.load_digits()
    images = torch.from_numpy(digits.images).float()
    features = {
        "left": fk.Features(vector=images[:, :, :4].flatten(1)),
        "right": fk.Features(vector=images[:, :, 4:].flatten(1)),
    }
    means = draw_scores(features, torch.from_numpy(digits.target), per_class, range(2))
    assert means["all"] > max(means["left"], means["right"]) + 0.05


@pytest.mark.parametrize(("classes", "count"), [(100, 2000), (400, 2000)])
def test_of_many_classes_a_calibrated_branch_beside_a_useless_one_keeps_its_likelihood(
    classes, count
):
    generator = torch.Generator().manual_seed(0)
    good = 2.5 * torch.randn(2 * count, classes, generator=generator)
    labels = torch.multinomial(good.softmax(1), 1, generator=generator)[:, 0]
    logits = {"a": good, "b": torch.randn(2 * count, classes, generator=generator)}
    inputs = {name: fk.HeadInput(4, num_classes=classes) for name in logits}
    head = Adaptive(inputs, num_classes=classes).eval()
    head.fit({name: fk.Features(logits=x[:count]) for name, x in logits.items()}, labels[:count])
    fused = head({name: fk.Features(logits=x[count:]) for name, x in logits.items()})
    losses = [torch.nn.functional.cross_entropy(z, labels[count:]) for z in (fused, good[count:])]
    assert losses[0] < losses[1] + 0.01


def test_classes_that_never_occur_change_nothing_of_the_pool():
    features = {name: x.double() for name, x in make_vectors(60).items()}
    labels = torch.arange(60) % 3
    weights = []
    for classes in (3, 30):
        head = Adaptive(
            {n: fk.HeadInput(x.shape[1]) for n, x in features.items()}, num_classes=classes
        )
        head.double().fit({n: fk.Features(x) for n, x in features.items()}, labels)
        weights.append([*head.weights.as_dict().values(), head.log_sharpness.exp().item()])
    assert weights[0] == pytest.approx(weights[1], abs=0.1)


def make_vectors(count):
    """Gives vectors of two branches, of which the first tells more of three classes."""
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(3, 6, generator=generator)
    return {
        name: torch.randn(count, 6, generator=generator) + apart * means[torch.arange(count) % 3]
        for name, apart in (("a", 1.5), ("b", 0.5))
    }
