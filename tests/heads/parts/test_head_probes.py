"""Linear probes: scikit-learn's optimum, and folds in which nothing has seen what it scores."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import fusionkit as fk
from fusionkit.heads.parts.folds import FOLDS, deal_folds, draw_evenly
from fusionkit.heads.parts.logistic import fit_logistic
from fusionkit.heads.parts.probes import Folds, fit_probe, split


def draw(count=60, width=7, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    centres = torch.randn(classes, width, generator=generator)
    return centres[labels] + torch.randn(count, width, generator=generator), labels


def sklearn_scores(x, labels, penalty):
    linear_model = pytest.importorskip("sklearn.linear_model", reason="the reference")
    model = linear_model.LogisticRegression(C=1 / penalty, tol=1e-12, max_iter=100_000)
    return torch.from_numpy(model.fit(x.numpy(), labels.numpy()).decision_function(x.numpy()))


def centred(scores):
    return scores - scores.mean(-1, keepdim=True)


@pytest.mark.parametrize("penalty", [0.01, 1.0])
def test_a_regression_has_the_optimum_of_scikit_learn(penalty):
    x, labels = draw()
    x = x.double()
    some = torch.ones(2, len(x), dtype=torch.float64)
    some[1, ::4] = 0
    weight, bias = fit_logistic(
        x, F.one_hot(labels).double(), some, torch.full((2,), penalty, dtype=torch.float64)
    )
    for turn in range(2):
        kept = some[turn] > 0
        scores = x[kept] @ weight[turn] + bias[turn]
        expected = sklearn_scores(x[kept], labels[kept], penalty)
        torch.testing.assert_close(centred(scores), centred(expected), rtol=0, atol=1e-4)


@pytest.mark.parametrize("width", [5, 90], ids=["narrow", "wider_than_samples"])
def test_a_probe_has_the_optimum_of_scikit_learn_for_blocks_of_one_size(width):
    x, labels = draw(width=width)
    blocks = [100 * x[:, :2].double() + 7, x[:, 2:].double()]
    probe = fit_probe(blocks, labels, 3, split(labels, 3))
    sized = []
    for block in blocks:
        moved = block - block.mean(0)
        sized.append(moved / moved.square().sum(1).mean().sqrt() / 2**0.5)
    expected = sklearn_scores(torch.cat(sized, 1), labels, probe.penalty)
    actual = torch.cat(blocks, 1) @ probe.weight.T + probe.bias
    torch.testing.assert_close(centred(actual), centred(expected), rtol=0, atol=1e-4)


def test_blocks_make_up_their_shares():
    x, labels = draw()
    blocks = [100 * x[:, :2].double() + 7, x[:, 2:].double()]
    shares = torch.tensor([0.8, 0.2])
    probe = fit_probe(blocks, labels, 3, split(labels, 3), shares)
    sized = []
    for block, share in zip(blocks, (0.8, 0.2), strict=True):
        moved = block - block.mean(0)
        sized.append(moved / moved.square().sum(1).mean().sqrt() * share**0.5)
    expected = sklearn_scores(torch.cat(sized, 1), labels, probe.penalty)
    actual = torch.cat(blocks, 1) @ probe.weight.T + probe.bias
    torch.testing.assert_close(centred(actual), centred(expected), rtol=0, atol=1e-4)


def test_a_block_without_a_share_has_no_weight():
    x, labels = draw()
    probe = fit_probe([x[:, :2], x[:, 2:]], labels, 3, split(labels, 3), torch.tensor([0.0, 1.0]))
    assert not probe.weight[:, :2].any()
    assert probe.weight[:, 2:].any()


def test_held_out_scores_are_those_of_a_regression_on_the_other_folds():
    x, labels = draw(count=30)
    x = x.double() - x.double().mean(0)
    x = x / x.square().sum(1).mean().sqrt()
    folds = split(labels, 3)
    probe = fit_probe([x], labels, 3, folds)
    for turn, dealt in enumerate(folds.dealt[:2]):
        for fold in range(FOLDS):
            inside = dealt == fold
            weight, bias = fit_logistic(
                x[~inside],
                F.one_hot(labels).double()[~inside],
                torch.ones(1, int((~inside).sum()), dtype=torch.float64),
                torch.tensor([probe.penalty], dtype=torch.float64),
            )
            expected = x[inside] @ weight[0] + bias[0]
            torch.testing.assert_close(
                centred(probe.held_out[turn, inside]), centred(expected), rtol=0, atol=1e-3
            )


def test_the_penalty_is_the_one_that_says_most_of_samples_not_seen():
    x, labels = draw(count=45, width=20, seed=3)
    noise = torch.randn(45, 20, generator=torch.Generator().manual_seed(1))
    folds = split(labels, 3)
    assert fit_probe([noise], labels, 3, folds).penalty > fit_probe([x], labels, 3, folds).penalty


def test_a_constant_block_counts_nothing():
    x, labels = draw()
    folds = split(labels, 3)
    probe = fit_probe([x, torch.full((60, 4), 3.0)], labels, 3, folds)
    assert torch.equal(probe.weight[:, 7:], torch.zeros(3, 4, dtype=probe.weight.dtype))
    nothing = fit_probe([torch.zeros(60, 4)], labels, 3, folds)
    assert nothing.bias.isfinite().all()
    assert nothing.held_out.isfinite().all()


def test_a_class_without_samples_gets_a_finite_bias_below_all_others():
    x, labels = draw()
    probe = fit_probe([x], labels, 5, split(labels, 5))
    assert probe.bias.isfinite().all()
    assert probe.bias[3:].max() < probe.bias[:3].min() - 3


def test_folds_spread_each_class_and_differ_from_turn_to_turn():
    labels = torch.tensor([0] * 10 + [1] * 5 + [2] * 7)[torch.randperm(22)]
    dealt = deal_folds(labels, 3)
    for turn in dealt:
        for label in range(3):
            counts = turn[labels == label].bincount(minlength=FOLDS)
            assert counts.max() - counts.min() <= 1
    assert not torch.equal(dealt[0], dealt[1])
    assert torch.equal(deal_folds(labels, 3), dealt)


def test_few_samples_are_dealt_often_and_of_many_a_part():
    assert split(torch.arange(10) % 2, 2).dealt.shape == (20, 10)
    assert split(torch.arange(400) % 2, 2).dealt.shape == (1, 400)
    many = torch.arange(6000) % 3
    folds = split(many, 3)
    assert folds.dealt.shape == (1, 2000)
    counts = many[folds.rows].bincount()
    assert counts.max() - counts.min() <= 1
    assert len(folds.rows.unique()) == 2000
    assert torch.equal(draw_evenly(many, 6000), torch.arange(6000))


def test_a_sample_alone_in_its_class_judges_nothing():
    folds = split(torch.tensor([0, 0, 1, 2, 2]), 3)
    assert isinstance(folds, Folds)
    assert folds.rows.tolist() == [0, 1, 3, 4]
    with pytest.raises(fk.DataError, match="no class has two samples, one to learn from"):
        split(torch.tensor([0, 1, 2]), 3)
