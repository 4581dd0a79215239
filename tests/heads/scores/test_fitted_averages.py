"""Temperatures and weights that are fitted, against grids and loops."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.nn import functional as F
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
from fusionkit.heads.scores.ensemble import MeanLogits, MeanLogProbabilities, MeanProbabilities
from fusionkit.heads.scores.two_stream import TwoStream

HEADS = (MeanLogits, MeanProbabilities, MeanLogProbabilities)
NAMES = ("audio", "image", "text")
each_head = pytest.mark.parametrize("make", HEADS, ids=lambda make: make.__name__)

COUNT = 120


def samples(names=NAMES, sharpness=(3.0, 1.0, 0.0)):
    """Noisy scores of branches that know the classes well, a little, and not at all."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(COUNT) % NUM_CLASSES
    known = F.one_hot(labels, NUM_CLASSES).double()
    features = {}
    for name, strength in zip(names, sharpness, strict=False):
        noise = torch.randn(COUNT, NUM_CLASSES, generator=generator, dtype=torch.float64)
        features[name] = fk.Features(logits=3 * (strength * known + noise))
    return features, labels


def build(make, names=NAMES, **options):
    inputs = {name: fk.HeadInput(5, num_classes=NUM_CLASSES) for name in names}
    return make(inputs, num_classes=NUM_CLASSES, **options).double().eval()


@pytest.mark.parametrize("kind", ["per_class", "given"])
@each_head
def test_weights_per_class_equal_the_formula_in_loops(make, kind):
    table = {"audio": [1, 2, 0, 4], "image": 2, "text": [0.5, 1, 1, 1]}
    head = build(make, weights="per_class" if kind == "per_class" else table)
    perturb(head)
    inputs = make_inputs(3, classifiers=NAMES)
    features = make_features(head, inputs, dtype=torch.float64, requires_grad=True)
    rows = []
    for b in range(3):
        row = []
        for k in range(NUM_CLASSES):
            shares = [head.weights.log_weights[i][k].exp() for i in range(3)]
            terms = []
            for each in features.values():
                z = each.logits[b]
                log_chance = z[k] - sum(value.exp() for value in z).log()
                terms.append(
                    {
                        MeanLogits: z[k],
                        MeanProbabilities: log_chance.exp(),
                        MeanLogProbabilities: log_chance,
                    }[make]
                )
            row.append(sum(s / sum(shares) * t for s, t in zip(shares, terms, strict=True)))
        if make is MeanProbabilities:
            row = [(value / sum(row)).log() for value in row]
        elif make is MeanLogProbabilities:
            row = [value - sum(each.exp() for each in row).log() for value in row]
        rows.append(torch.stack(row))
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(head(features), torch.stack(rows), wanted)


def test_given_weights_per_class_are_what_was_given():
    head = build(MeanLogits, weights={"audio": [1, 0, 1, 3], "image": [1, 1, 0, 1], "text": 0})
    shares = head.weights.as_dict()
    assert shares["audio"] == pytest.approx([0.5, 0, 1, 0.75], abs=1e-7)
    assert shares["image"] == pytest.approx([0.5, 1, 0, 0.25], abs=1e-7)
    assert not list(head.parameters())
    assert "given per class for audio, image, text" in repr(head)


def test_absent_branches_leave_the_others_their_shares_in_each_class():
    head = build(MeanLogits, weights={"audio": [1, 2, 0, 0], "image": [3, 2, 0, 1], "text": 1})
    features, _ = samples()
    del features["text"]
    audio, image = (features[name].logits for name in ("audio", "image"))
    first = torch.tensor([0.25, 0.5, 0.5, 0.0]).double()
    expected = first * audio + (1 - first) * image
    torch.testing.assert_close(head(features), expected, rtol=1e-5, atol=1e-5)


@each_head
def test_fitted_temperatures_have_the_largest_likelihood(make):
    features, labels = samples()
    head = build(make, temperature="fitted")
    assert head.temperatures.as_dict() == {"audio": 1, "image": 1, "text": 1}
    head.fit(features, labels)
    found = head.temperatures.as_dict()
    for name, each in features.items():
        grid = torch.linspace(-4.6, 4.6, 2001).exp().tolist()
        losses = [float(F.cross_entropy(each.logits / t, labels)) for t in grid]
        best = float(F.cross_entropy(each.logits / found[name], labels))
        assert best <= min(losses) + 1e-9, name
    assert found["audio"] < found["image"] < found["text"]
    assert "fitted for audio, image, text" in repr(head)


@pytest.mark.parametrize(("strength", "limit"), [(1000.0, 0.01), (-1000.0, 100.0)])
def test_scores_that_are_always_right_or_wrong_meet_a_limit(strength, limit):
    features, labels = samples(["audio"], [strength])
    head = build(MeanProbabilities, ["audio"], temperature="fitted")
    head.fit({"audio": fk.Features(logits=features["audio"].logits / 1e5)}, labels)
    assert head.temperatures.as_dict()["audio"] == pytest.approx(limit, rel=0.05)


@each_head
def test_fitted_weights_have_the_largest_likelihood_on_the_simplex(make):
    features, labels = samples(sharpness=(1.0, 0.7, 0.3))
    head = build(make, weights="fitted")
    assert head.weights.as_dict() == pytest.approx(dict.fromkeys(NAMES, 1 / 3))
    head.fit(features, labels)
    found = head.weights.as_dict()
    assert sum(found.values()) == pytest.approx(1)
    best = float(F.cross_entropy(head(features), labels))
    steps = 40
    for i in range(steps + 1):
        for j in range(steps + 1 - i):
            shares = {"audio": i, "image": j, "text": steps - i - j}
            given = build(make, weights=shares)
            assert best <= float(F.cross_entropy(given(features), labels)) + 1e-9, shares
    assert found["audio"] > found["image"] > found["text"]


@each_head
def test_a_branch_that_knows_nothing_gets_no_weight_and_answers_alone_all_the_same(make):
    features, labels = samples(["audio", "text"], [3.0, 0.0])
    features["text"] = fk.Features(logits=10 * features["text"].logits)
    head = build(make, ["audio", "text"], weights="fitted")
    head.fit(features, labels)
    assert head.weights.as_dict()["text"] < 0.02
    alone = {"text": features["text"]}
    expected = features["text"].logits
    torch.testing.assert_close(head(alone).softmax(-1), expected.softmax(-1))


def test_temperatures_are_fitted_before_weights():
    features, labels = samples()
    head = build(MeanProbabilities, temperature="fitted", weights="fitted")
    head.fit(features, labels)
    known = head.temperatures.as_dict()
    second = build(MeanProbabilities, temperature=known, weights="fitted")
    second.fit(features, labels)
    for name, weight in second.weights.as_dict().items():
        assert head.weights.as_dict()[name] == pytest.approx(weight, abs=1e-4)


def test_linear_layers_are_fitted_and_joined_by_what_they_say_of_others():
    # So many components of noise that a linear layer knows its own samples by heart.
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(40) % 2
    good = torch.randn(40, 3, generator=generator) + 2.0 * labels[:, None]
    noise = torch.randn(40, 60, generator=generator)
    features = {"good": fk.Features(vector=good), "noise": fk.Features(vector=noise)}
    inputs = {"good": fk.HeadInput(3), "noise": fk.HeadInput(60)}
    head = MeanProbabilities(inputs, num_classes=2, weights="fitted", norm="none").eval()
    head.fit(features, labels)
    assert head.weights.as_dict()["good"] > 0.9
    by_heart = head.branch_scores(features)["noise"].argmax(1)
    assert (by_heart == labels).double().mean() > 0.95


def test_refit_false_keeps_what_was_trained():
    inputs = make_inputs(2)
    head = MeanProbabilities(
        inputs, num_classes=NUM_CLASSES, temperature="fitted", refit=False
    ).eval()
    before = {name: value.clone() for name, value in head.scores.state_dict().items()}
    features = make_features(head, inputs, batch=20)
    head.fit(features, torch.arange(20) % NUM_CLASSES)
    after = head.scores.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert head.temperatures.as_dict() != {"audio": 1, "image": 1}


@each_head
def test_with_nothing_to_fit_it_says_what_to_write(make):
    features, labels = samples()
    with pytest.raises(fk.AssemblyError, match="write weights='fitted' or temperature='fitted'"):
        build(make).fit(features, labels)


def test_without_two_samples_of_any_class_nothing_can_be_held_out():
    inputs = make_inputs(2)
    head = MeanProbabilities(inputs, num_classes=NUM_CLASSES, weights="fitted").eval()
    with pytest.raises(fk.DataError, match="no class has two samples"):
        head.fit(make_features(head, inputs, batch=4), torch.arange(4))
    lonely = torch.tensor([0, 1, 1, 3])
    head.fit(make_features(head, inputs, batch=4), lonely)
    assert all(value > 0 for value in head.weights.as_dict().values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"refit": 1}, "option refit is True or False, got 1"),
        ({"weights": {"audio": [1, 2], "image": 1}}, "'audio' has 2 weights, and there are 4"),
        ({"weights": {"audio": [1, 1, 1, -1], "image": 1}}, "weight of 'audio' must be a finite"),
        ({"weights": {"audio": [1, 1, 1, 0], "image": 0}}, "their sum is 0"),
        ({"weights": {"audio": [1, 1, 1, 0]}}, "no weight for 'image'"),
        ({"weights": {"audio": [1, 1, 1, 0], "vidio": 1}}, "no branch 'vidio'"),
        ({"temperature": "fit"}, "'learned' or 'fitted'"),
    ],
    ids=str,
)
def test_a_wrong_value_says_what_to_write_instead(options, message):
    with pytest.raises(fk.ConfigError, match=message.replace("[", "\\[")):
        MeanLogits(make_inputs(2), num_classes=NUM_CLASSES, **options)


KEPT = [
    *[(make, {"weights": "fitted", "temperature": "fitted"}) for make in HEADS],
    *[(make, {"weights": "per_class"}) for make in HEADS],
    (MeanProbabilities, {"weights": "fitted", "norm": "batch"}),
    (MeanLogits, {"weights": {"audio": [1, 2, 3, 4, 5], "image": 1, "text": 2}}),
    (TwoStream, {"weights": "fitted"}),
]


@pytest.mark.parametrize(("make", "options"), KEPT, ids=str)
def test_they_keep_the_promises_of_every_head(make, options):
    given = isinstance(options["weights"], dict)
    known = {"any_number_of_classes": "a list for five classes"} if given else {}
    kit.check_head(partial(make, **options), expected_failures=known)


@each_head
@pytest.mark.parametrize("weights", ["fitted", "per_class"])
def test_compilers_take_them(make, weights):
    head = partial(make, weights=weights, temperature="fitted")
    report = kit.check_head(head, only=["compiles", "exports"])
    assert report["compiles"].status == report["exports"].status == "passed"
