"""A small model on the branches' scores, trained by steps and fitted at once."""

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
from fusionkit.heads.scores.ensemble import MeanLogProbabilities
from fusionkit.heads.scores.stacking import Stacking

NAMES = ("audio", "image", "text")


def build(count=2, classifiers=NAMES, **options):
    inputs = make_inputs(count, classifiers=classifiers)
    return Stacking(inputs, num_classes=NUM_CLASSES, **options).eval(), inputs


def confused(count=200, seed=0):
    """Two branches: one calls class 0 by the name of 1 and back, one guesses."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % NUM_CLASSES
    swapped = torch.tensor([1, 0, 2, 3])[labels]
    features = {}
    for name, target, strength in (("audio", swapped, 4.0), ("image", labels, 0.5)):
        noise = torch.randn(count, NUM_CLASSES, generator=generator)
        features[name] = fk.Features(logits=strength * F.one_hot(target, NUM_CLASSES) + noise)
    return features, labels


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("hidden", [None, 3])
def test_equals_the_formula_in_loops(count, hidden):
    head, inputs = build(count, hidden=hidden)
    head.double()
    perturb(head)
    features = make_features(head, inputs, dtype=torch.float64, requires_grad=True)
    layers = [layer for layer in head.model if isinstance(layer, torch.nn.Linear)]
    rows = []
    for b in range(3):
        row = []
        for each in features.values():
            z = each.logits[b]
            row += [z[k] - sum(value.exp() for value in z).log() for k in range(NUM_CLASSES)]
        for layer in layers:
            if layer is not layers[0]:
                row = [value.clamp_min(0) for value in row]
            row = [
                sum(layer.weight[o, i] * row[i] for i in range(len(row))) + layer.bias[o]
                for o in range(layer.out_features)
            ]
        rows.append(torch.stack(row))
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(head(features), torch.stack(rows), wanted)


def test_it_starts_as_the_mean_of_log_probabilities():
    head, inputs = build(3, classifiers=["image"])
    mean = MeanLogProbabilities(inputs, num_classes=NUM_CLASSES)
    mean.scores.load_state_dict(head.scores.state_dict())
    features = make_features(head, inputs)
    torch.testing.assert_close(head(features).log_softmax(-1), mean(features))
    del features["text"]
    torch.testing.assert_close(head(features).log_softmax(-1), mean(features))


def test_a_fit_learns_to_undo_what_a_branch_confuses():
    head, _ = build()
    features, labels = confused()
    before = (head(features).argmax(1) == labels).double().mean()
    head.fit(features, labels)
    fresh, truth = confused(seed=1)
    after = (head(fresh).argmax(1) == truth).double().mean()
    assert before < 0.7
    assert after > 0.9


def test_the_fit_is_where_the_penalised_loss_is_level():
    head, _ = build()
    head.double()
    features, labels = confused()
    features = {name: fk.Features(logits=each.logits.double()) for name, each in features.items()}
    head.fit(features, labels)
    x = torch.cat([each.logits.log_softmax(-1) for each in features.values()], -1)
    start = torch.eye(NUM_CLASSES).double().repeat(1, 2) / 2
    weight = head.model[-1].weight.detach().clone().requires_grad_()
    bias = head.model[-1].bias.detach().clone().requires_grad_()
    # the penalty is on what is added for standardised components
    spread, mean = x.std(0, correction=0), x.mean(0)
    loss = F.cross_entropy(x @ weight.T + bias, labels, reduction="sum")
    added = (weight - start) * spread
    level = bias + (weight - start) @ mean
    loss = loss + 0.5 * (added.square().sum() + level.square().sum())
    for gradient in torch.autograd.grad(loss, [weight, bias]):
        assert gradient.abs().max() < 1e-3


def test_a_strong_penalty_leaves_the_mean():
    features, labels = confused()
    moved = []
    for penalty in (1.0, 100.0, 1e6):
        head, _ = build(penalty=penalty)
        start = head.model[-1].weight.detach().clone()
        head.fit(features, labels)
        moved.append(float((head.model[-1].weight.detach() - start).norm()))
    assert moved[0] > 2 * moved[1] > 0
    assert moved[2] < 1e-3


@pytest.mark.parametrize("penalty", [0, -1, float("inf"), "much", True], ids=str)
def test_a_penalty_that_is_none_is_refused(penalty):
    with pytest.raises(fk.ConfigError, match="option penalty takes a positive, finite number"):
        build(penalty=penalty)


def test_what_its_own_layers_know_by_heart_does_not_count():
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(40) % 2
    good = torch.randn(40, 3, generator=generator) + 2.0 * labels[:, None]
    noise = torch.randn(40, 60, generator=generator)
    features = {"good": fk.Features(vector=good), "noise": fk.Features(vector=noise)}
    inputs = {"good": fk.HeadInput(3), "noise": fk.HeadInput(60)}
    head = Stacking(inputs, num_classes=2, norm="none").eval()
    head.fit(features, labels)
    counts = head.model[-1].weight.reshape(2, 2, 2)  # k, branch, class
    margin = (counts[0, :, 0] - counts[0, :, 1]) - (counts[1, :, 0] - counts[1, :, 1])
    assert margin[0] > 2 * margin[1].abs()


def test_refit_false_keeps_the_layers_that_were_trained():
    head, inputs = build(classifiers=(), refit=False)
    before = {name: value.clone() for name, value in head.scores.state_dict().items()}
    head.fit(make_features(head, inputs, batch=20), torch.arange(20) % NUM_CLASSES)
    after = head.scores.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_hidden_layers_are_trained_by_gradient_only():
    head, _ = build(hidden=[4])
    features, labels = confused()
    with pytest.raises(fk.AssemblyError, match="leave out the option hidden"):
        head.fit(features, labels)


@pytest.mark.parametrize(
    "options",
    [{}, {"hidden": 6, "dropout": 0.2}, {"norm": "batch", "dropout": 0.1}],
    ids=str,
)
def test_it_keeps_the_promises_of_every_head(options):
    kit.check_head(partial(Stacking, **options))


def test_compilers_take_it():
    report = kit.check_head(Stacking, only=["compiles", "exports"])
    assert report["compiles"].status == report["exports"].status == "passed"
