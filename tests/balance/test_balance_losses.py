"""The auxiliary loss against a loop, its gradients, and averages over a data set."""

from __future__ import annotations

import math

import pytest
import torch
from imbalance import accuracies, batches, build, draw_imbalanced, draw_noise

import fusionkit as fk
from fusionkit.balance import AuxiliaryLoss, LossWeights, average_losses, branch_losses, score

NAMES = ("audio", "loud", "quiet")


def reference(scores, labels):
    """Cross entropy, one sample at a time."""
    total = 0
    for row, label in zip(scores, labels.tolist(), strict=True):
        total = total - (row[label] - sum(x.exp() for x in row).log())
    return total / len(labels)


@pytest.mark.parametrize("names", [NAMES[:2], NAMES], ids=["two", "three"])
@pytest.mark.parametrize("form", ["number", "mapping", "weights"])
def test_the_sum_and_its_gradients_equal_a_loop(names, form):
    model = build(fk.Head("auxiliary", options={"hidden": 4}), names, num_classes=3).double()
    x, labels = draw_noise(names, num_classes=3)
    x = {name: value.double() for name, value in x.items()}
    own = {name: 0.2 + index for index, name in enumerate(names)}
    given, fused, branches = {
        "number": (0.3, 1.0, dict.fromkeys(names, 0.3)),
        "mapping": (own, 1.0, own),
        "weights": (LossWeights(0.4, own), 0.4, own),
    }[form]
    loss = AuxiliaryLoss(given)
    assert repr(loss).startswith("AuxiliaryLoss(LossWeights(fused=")
    actual = loss(score(model, x), labels)
    scores = score(model, x)
    expected = fused * reference(scores.fused, labels)
    for name in names:
        expected = expected + branches[name] * reference(scores.branches[name], labels)
    torch.testing.assert_close(actual, expected)
    parameters = list(model.parameters())
    got = torch.autograd.grad(actual, parameters)
    due = torch.autograd.grad(expected, parameters)
    for one, other in zip(got, due, strict=True):
        torch.testing.assert_close(one, other)


def test_a_weight_of_zero_leaves_a_gradient_of_zero():
    model = build(fk.Head("auxiliary"))
    x, labels = draw_noise()
    AuxiliaryLoss({"loud": 0, "quiet": 1})(score(model, x), labels).backward()
    linear = model.head.scores.classifiers
    assert linear["loud"].linear.weight.grad.abs().max() == 0
    assert linear["quiet"].linear.weight.grad.abs().max() > 0


def test_weights_of_other_branches_are_refused_when_they_are_used():
    x, labels = draw_noise()
    with pytest.raises(fk.PolicyError, match="lack the branch 'quiet'"):
        AuxiliaryLoss({"loud": 1.0})(score(build(), x), labels)


def test_any_loss_will_do():
    model = build()
    x, labels = draw_noise()
    scores = score(model, x)
    smooth = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    expected = smooth(scores.fused, labels) + sum(
        smooth(s, labels) for s in scores.branches.values()
    )
    torch.testing.assert_close(AuxiliaryLoss(1.0, smooth)(scores, labels), expected)


def test_averages_are_over_samples_in_eval_mode_and_leave_the_mode():
    model = build(branch_dropout=0.5)
    x, labels = draw_noise(batch=7)
    parts = [
        ({name: value[rows] for name, value in x.items()}, labels[rows])
        for rows in torch.arange(7).split(3)
    ]
    averages = average_losses(model, parts)
    assert model.training
    whole = branch_losses(score(model.eval(), x), labels)
    assert averages.fused == pytest.approx(whole.fused.item(), rel=1e-6)
    assert averages.branches == pytest.approx({n: v.item() for n, v in whole.branches.items()})
    assert all(isinstance(each, float) for each in (averages.fused, *averages.branches.values()))


def test_averages_of_nothing_are_refused_and_the_mode_is_kept():
    model = build()
    with pytest.raises(fk.DataError, match="given no batches"):
        average_losses(model, [])
    assert model.training


def test_a_loss_on_each_branch_teaches_the_one_that_was_left_behind():
    gained = []
    for seed in range(3):
        data = draw_imbalanced(512, seed=100 + seed)
        told = {}
        for weight in (0.0, 0.5):
            model = build(seed=seed)
            loss = AuxiliaryLoss(weight)
            optimizer = torch.optim.SGD(model.param_groups(lr=0.1), momentum=0.9)
            for epoch in range(30):
                for x, labels in batches(data, epoch):
                    optimizer.zero_grad()
                    loss(score(model, x), labels).backward()
                    optimizer.step()
            told[weight] = accuracies(model)
        gained.append({name: told[0.5][name] - told[0.0][name] for name in told[0.0]})
    mean = {name: sum(each[name] for each in gained) / 3 for name in gained[0]}
    assert mean["quiet"] > 0.15
    assert mean["fused"] > 0.01
    assert math.isclose(mean["loud"], 0, abs_tol=0.02)
