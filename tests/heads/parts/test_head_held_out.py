"""Scores of samples that the linear layers have not seen."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import fusionkit as fk
from fusionkit.heads.parts.held_out import FOLDS, fit_classifiers, held_out_scores
from fusionkit.heads.parts.linear_classifier import fit_linear
from fusionkit.heads.parts.minimise import minimise
from fusionkit.heads.parts.scores import BranchScores

LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 0, 1, 0, 0])


def draw(width=4, count=10):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, width, generator=generator)


def build(norm="none", **inputs):
    return BranchScores(inputs or {"a": fk.HeadInput(4)}, 3, norm=norm)


def test_each_sample_is_scored_by_a_layer_fitted_to_other_folds():
    x = draw()
    held, known = held_out_scores(build(), {"a": fk.Features(vector=x)}, LABELS, refit=True)
    # by hand: shuffled, put together by class, and dealt to the folds in turn
    shuffled = torch.randperm(10, generator=torch.Generator().manual_seed(0)).tolist()
    order = sorted(shuffled, key=LABELS.tolist().__getitem__)
    folds = [order.index(n) % FOLDS for n in range(10)]
    seen = LABELS.bincount().tolist()
    expected = []
    for n, fold in enumerate(folds):
        if seen[int(LABELS[n])] == 1:
            continue
        others = [m for m in range(len(folds)) if folds[m] != fold]
        weight, bias = fit_linear(x[others], LABELS[others], 3)
        expected.append(weight @ x[n].double() + bias)
    torch.testing.assert_close(held["a"], torch.stack(expected))
    assert known.tolist() == [0, 0, 0, 1, 1, 0, 1, 0, 0]


def test_another_value_of_a_sample_changes_nothing_of_how_its_own_layer_was_fitted():
    # Scores of a sample are linear in it, with a layer that does not depend on it.
    x = draw()
    answers = []
    for factor in (1.0, 2.0, 3.0):
        moved = x.clone()
        moved[0] = factor * x[0]
        held, _ = held_out_scores(build(), {"a": fk.Features(vector=moved)}, LABELS, refit=True)
        answers.append(held["a"][0])
    torch.testing.assert_close(answers[2] - answers[1], answers[1] - answers[0])


def test_stock_logits_and_layers_that_stay_are_taken_as_they_are():
    scores = build(a=fk.HeadInput(4), b=fk.HeadInput(4, num_classes=3))
    features = {"a": fk.Features(vector=draw()), "b": fk.Features(logits=draw(3))}
    held, known = held_out_scores(scores, features, LABELS, refit=False)
    for name, each in scores(features).items():
        assert torch.equal(held[name], each.detach().double())
    assert torch.equal(known, LABELS)
    fitted, known = held_out_scores(scores, features, LABELS, refit=True)
    kept = [n for n in range(10) if LABELS[n] != 2]
    assert torch.equal(fitted["b"], features["b"].logits[kept].double())


def test_no_class_of_two_samples_is_refused():
    features = {"a": fk.Features(vector=draw(count=3))}
    with pytest.raises(fk.DataError, match="no class has two samples, one to fit them and one"):
        held_out_scores(build(), features, torch.arange(3), refit=True)


def test_a_batch_norm_takes_the_statistics_of_all_samples():
    scores = build(norm="batch").eval()
    x = 100 + 3 * draw()
    fit_classifiers(scores, {"a": fk.Features(vector=x)}, LABELS)
    norm = scores.classifiers["a"].norm.norm
    torch.testing.assert_close(norm.running_mean, x.mean(0))
    torch.testing.assert_close(norm.running_var, x.var(0, correction=0))
    right = scores({"a": fk.Features(vector=x)})["a"].argmax(1) == LABELS
    assert right.double().mean() > 0.8


def test_the_linear_classifier_is_where_the_penalised_loss_is_level_whatever_the_scale():
    x = draw(6, 40).double()
    labels = torch.arange(40) % 3
    weight, bias = fit_linear(x, labels, 3)
    free = [weight.clone().requires_grad_(), bias.clone().requires_grad_()]
    spread, mean = x.std(0, correction=0), x.mean(0)
    loss = F.cross_entropy(x @ free[0].T + free[1], labels, reduction="sum")
    penalty = (free[0] * spread).square().sum() + (free[1] + free[0] @ mean).square().sum()
    for gradient in torch.autograd.grad(loss + penalty / 2, free):
        assert gradient.abs().max() < 1e-4
    scale = torch.tensor([1e-4, 1.0, 1e4, 1.0, 1.0, 1.0]).double()
    other, moved = fit_linear(x * scale + 7, labels, 3)
    expected = x @ weight.T + bias
    torch.testing.assert_close((x * scale + 7) @ other.T + moved, expected, rtol=1e-4, atol=1e-5)


def test_a_constant_component_and_a_class_without_samples_stay_finite():
    x = torch.cat([draw(), torch.full((10, 1), 0.1)], 1)
    weight, bias = fit_linear(x, LABELS, 5)
    assert weight.isfinite().all()
    assert bias.isfinite().all()
    assert torch.equal(weight[:, -1], torch.zeros(5).double())
    assert bool((bias[3:] < bias[:3].max()).all())


def test_minimise_finds_the_foot_of_a_parabola():
    foot = torch.tensor([3.0, -2.0]).double()
    steep = torch.tensor([1.0, 50.0]).double()
    found = minimise(lambda x: (steep * (x - foot).square()).sum(), torch.zeros(2).double())
    torch.testing.assert_close(found, foot)
