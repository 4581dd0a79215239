"""Gradient blending: weights from losses by hand, resumed, and estimated on copies."""

from __future__ import annotations

import io
import math

import pytest
import torch
from imbalance import batches, build, draw_imbalanced, draw_noise
from torch import nn

import fusionkit as fk
from fusionkit.balance import (
    AuxiliaryLoss,
    GradientBlending,
    Losses,
    LossWeights,
    average_losses,
    score,
)

NAMES = ("audio", "loud", "quiet")

# training and held-out losses at two checkpoints, of the fused answer and of each branch
TRAIN = ({"fused": 0.9, "audio": 1.0, "loud": 1.2, "quiet": 1.3}, (0.2, 0.3, 0.9, 0.1))
HELD_OUT = ({"fused": 1.0, "audio": 1.1, "loud": 1.25, "quiet": 1.35}, (0.6, 0.7, 1.0, 1.3))


def losses(values, names):
    by_name = dict(zip(("fused", *NAMES), values, strict=True))
    return Losses(by_name["fused"], {name: by_name[name] for name in names})


def checkpoints(names):
    train, held_out = TRAIN[0].values(), HELD_OUT[0].values()
    before = losses(train, names), losses(held_out, names)
    return before, (losses(TRAIN[1], names), losses(HELD_OUT[1], names))


def reference(names):
    """From the paper: G = L*_N - L*_{N+n}, O = (L* - L^T)_{N+n} - (L* - L^T)_N, w = G / O² / Z."""
    raw = {}
    for index, name in enumerate(("fused", *NAMES)):
        if name in ("fused", *names):
            fell = HELD_OUT[0][name] - HELD_OUT[1][index]
            gap_before = HELD_OUT[0][name] - TRAIN[0][name]
            gap_after = HELD_OUT[1][index] - TRAIN[1][index]
            raw[name] = fell / (gap_after - gap_before) ** 2
    total = 0
    for value in raw.values():
        total += value
    return {name: value / total for name, value in raw.items()}


@pytest.mark.parametrize("names", [NAMES[:2], NAMES], ids=["two", "three"])
def test_weights_equal_the_papers_formula(names):
    blending = GradientBlending(build(names=names))
    share = 1 / (1 + len(names))
    assert blending.weights == LossWeights(share, dict.fromkeys(names, share))
    before, after = checkpoints(names)
    assert blending.update(*before) == LossWeights(share, dict.fromkeys(names, share))
    weights = blending.update(*after)
    expected = reference(names)
    assert weights.fused == pytest.approx(expected.pop("fused"))
    assert weights.branches == pytest.approx(expected)
    assert weights.fused + sum(weights.branches.values()) == pytest.approx(1)
    assert blending.weights == weights


def test_tensors_are_losses_too():
    blending = GradientBlending(build(names=NAMES))
    for train, held_out in checkpoints(NAMES):
        tensors = [
            Losses(torch.tensor(e.fused), {n: torch.tensor(v) for n, v in e.branches.items()})
            for e in (train, held_out)
        ]
        blending.update(*tensors)
    assert blending.weights.branches == pytest.approx(
        {name: weight for name, weight in reference(NAMES).items() if name != "fused"}, rel=1e-5
    )


def test_each_update_is_against_the_checkpoint_before():
    blending = GradientBlending(build(names=NAMES))
    before, after = checkpoints(NAMES)
    blending.update(*after)
    blending.update(*before)
    assert blending.update(*after).fused == pytest.approx(reference(NAMES)["fused"])


def two(fused, loud, quiet):
    return Losses(fused, {"loud": loud, "quiet": quiet})


def test_what_generalises_no_more_gets_nothing():
    blending = GradientBlending(build())
    blending.update(two(1.0, 1.0, 1.0), two(1.0, 1.0, 1.0))
    weights = blending.update(two(0.5, 0.1, 0.5), two(0.7, 1.1, 0.7))
    assert weights == LossWeights(0.5, {"loud": 0.0, "quiet": 0.5})


def test_where_nothing_generalises_the_weights_stay():
    blending = GradientBlending(build())
    blending.update(two(1.0, 1.0, 1.0), two(1.0, 1.0, 1.0))
    before = blending.update(two(0.5, 0.1, 0.5), two(0.7, 1.1, 0.7))
    assert blending.update(two(0.1, 0.1, 0.1), two(2.0, 2.0, 2.0)) == before


def test_no_overfitting_at_all_counts_as_the_least():
    blending = GradientBlending(build(), least=0.1)
    blending.update(two(1.0, 1.0, 1.0), two(1.0, 1.0, 1.0))
    weights = blending.update(two(0.5, 0.5, 0.5), two(0.5, 0.51, 0.7))
    raw = (0.5 / 0.1**2, 0.49 / 0.1**2, 0.3 / 0.2**2)
    assert weights.fused == pytest.approx(raw[0] / sum(raw))
    assert weights.branches["loud"] == pytest.approx(raw[1] / sum(raw))
    assert weights.branches["quiet"] == pytest.approx(raw[2] / sum(raw))


def test_a_run_that_goes_on_has_the_same_weights():
    before, after = checkpoints(NAMES)
    model = build(names=NAMES)
    whole, first, second = (GradientBlending(model) for _ in range(3))
    for checkpoint in (before, after, before):
        whole.update(*checkpoint)
    for checkpoint in (before, after):
        first.update(*checkpoint)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert second.weights == first.weights
    second.update(*before)
    assert second.weights == whole.weights
    assert second.state_dict() == whole.state_dict()


def test_a_state_before_the_first_checkpoint():
    blending = GradientBlending(build())
    other = GradientBlending(build())
    other.update(two(1.0, 1.0, 1.0), two(1.0, 1.0, 1.0))
    other.load_state_dict(blending.state_dict())
    assert other.state_dict() == blending.state_dict()


def test_states_of_others_are_refused():
    blending = GradientBlending(build())
    with pytest.raises(fk.PolicyError, match=r"has 'weights' and 'before', got \['steps'\]"):
        blending.load_state_dict({"steps": 1})
    state = GradientBlending(build(names=NAMES)).state_dict()
    with pytest.raises(
        fk.PolicyError, match="the saved weights name 'audio', and there is no such"
    ):
        blending.load_state_dict(state)


@pytest.mark.parametrize("least", [0, -1, float("nan"), float("inf"), "1"])
def test_a_least_that_is_none_is_refused(least):
    with pytest.raises(fk.PolicyError, match="least is a positive number"):
        GradientBlending(build(), least=least)


def test_losses_of_other_branches_are_refused():
    with pytest.raises(fk.PolicyError, match="the losses lack the branch 'quiet'"):
        GradientBlending(build()).update(Losses(1.0, {"loud": 1.0}), two(1.0, 1.0, 1.0))


def test_a_loss_that_diverged_is_told_by_whose_it_is():
    blending = GradientBlending(build())
    blending.update(two(1.0, 1.0, 1.0), two(1.0, 1.0, 1.0))
    with pytest.raises(fk.PolicyError, match="a loss of branch 'quiet' is not finite"):
        blending.update(two(1.0, 1.0, 1.0), two(1.0, 1.0, math.nan))
    with pytest.raises(fk.PolicyError, match="a loss of the fused answer is not finite"):
        blending.update(two(1.0, 1.0, 1.0), two(math.inf, 1.0, 1.0))


def fit(model, loss, data, epochs):
    optimizer = torch.optim.SGD(model.param_groups(lr=0.1), momentum=0.9)
    model.train()
    for epoch in range(epochs):
        for x, labels in batches(data, epoch):
            optimizer.zero_grad()
            loss(score(model, x), labels).backward()
            optimizer.step()


def test_estimate_trains_a_copy_for_each_loss_alone():
    model = build(fk.Head("auxiliary"))
    data, held_out = draw_imbalanced(128, 1), draw_imbalanced(256, 2)
    asked, twins = [], []

    def train(twin, loss):
        asked.append(loss.weights)
        twins.append(twin)
        fit(twin, loss, data, 3)

    kept = {name: value.clone() for name, value in model.state_dict().items()}
    blending = GradientBlending(model)
    weights = blending.estimate(model, train, batches(data), batches(held_out))
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    assert asked == [
        LossWeights(1.0, {"loud": 0.0, "quiet": 0.0}),
        LossWeights(0.0, {"loud": 1.0, "quiet": 0.0}),
        LossWeights(0.0, {"loud": 0.0, "quiet": 1.0}),
    ]
    raw = {}
    for twin, name in zip(twins, ("fused", "loud", "quiet"), strict=True):
        told = []
        for each in (model, twin):
            for samples in (data, held_out):
                average = average_losses(each, batches(samples))
                told.append(average.fused if name == "fused" else average.branches[name])
        gap = (told[3] - told[2]) - (told[1] - told[0])
        raw[name] = max(told[1] - told[3], 0) / max(abs(gap), 1e-3) ** 2
    total = sum(raw.values())
    assert weights.fused == pytest.approx(raw["fused"] / total)
    assert weights.branches == pytest.approx({n: raw[n] / total for n in ("loud", "quiet")})
    assert blending.weights == weights


def test_a_branch_that_only_learns_by_heart_counts_for_less():
    """The loud branch is told the truth; the quiet one noise, which 60 samples let it memorise."""
    model = build(fk.Head("auxiliary"))
    data, held_out = draw_imbalanced(60, 1), draw_imbalanced(500, 2)
    for x, _ in (data, held_out):
        x["quiet"] = draw_noise(batch=len(x["quiet"]), seed=len(x["quiet"]))[0]["quiet"]
    blending = GradientBlending(model)
    weights = blending.estimate(
        model, lambda twin, loss: fit(twin, loss, data, 40), batches(data), batches(held_out)
    )
    assert weights.branches["loud"] > 5 * weights.branches["quiet"]


def test_weights_go_into_the_auxiliary_loss():
    blending = GradientBlending(build())
    x, labels = draw_noise()
    scores = score(build(), x)
    equal = AuxiliaryLoss(blending.weights)(scores, labels)
    terms = [
        nn.functional.cross_entropy(s, labels) for s in (scores.fused, *scores.branches.values())
    ]
    torch.testing.assert_close(equal, sum(terms) / 3)
