"""Gradient modulation: each parameter's gradient is the formula's, and the slow branch gains."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from imbalance import accuracies, batches, build, draw_imbalanced, draw_noise
from torch.nn.functional import cross_entropy

import fusionkit as fk
from fusionkit.balance import OGMGE, score

NAMES = ("audio", "loud", "quiet")


def prepare(names=NAMES, *, head="mean_logits", num_classes=3, batch=8, gain=3.0, **branch):
    """A model after backward, whose first branch is much surer than the others."""
    model = build(head, names, num_classes=num_classes, **branch)
    x, labels = draw_noise(names, batch, num_classes)
    features = model.features(x)
    with torch.no_grad():  # what the first branch says is right, more or less
        own = model.head.branch_scores(features)
        own[names[0]] = own[names[0]] + gain * torch.eye(num_classes)[labels]
        own[names[-1]] = own[names[-1]] + 0.3 * gain * torch.eye(num_classes)[labels]
    cross_entropy(model.fuse(features), labels).backward()
    return model, own, labels


def gradients(model):
    return {
        name: {path: p.grad.clone() for path, p in branch.named_parameters() if p.grad is not None}
        for name, branch in model.branches.items()
    }


def reference_factors(own, labels, alpha, against):
    """Sample by sample, from the paper's equations 8 to 10."""
    sums = {}
    for name, scores in own.items():
        sums[name] = 0.0
        for row, label in zip(scores.double().tolist(), labels.tolist(), strict=True):
            sums[name] += math.exp(row[label]) / sum(math.exp(value) for value in row)
    factors = {}
    for name in own:
        others = [sums[other] for other in own if other != name]
        ratio = sums[name] / (max(others) if against == "max" else sum(others) / len(others))
        factors[name] = 1 - math.tanh(alpha * max(ratio, 0)) if ratio > 1 else 1.0
    return factors


@pytest.mark.parametrize("names", [NAMES[:2], NAMES], ids=["two", "three"])
@pytest.mark.parametrize("against", ["mean", "max"])
@pytest.mark.parametrize("alpha", [0.1, 0.8])
def test_each_gradient_is_multiplied_by_its_branchs_factor(names, against, alpha):
    model, own, labels = prepare(names)
    before = gradients(model)
    head = [p.grad.clone() for p in model.head.parameters()]
    modulation = OGMGE(model, alpha=alpha, noise=False, against=against)
    modulation.observe(own, labels)
    factors = modulation.modulate()
    expected = reference_factors(own, labels, alpha, against)
    assert factors == pytest.approx(expected, rel=1e-5)
    assert 0 < factors["audio"] < 1
    assert factors["loud"] == 1
    for name, now in gradients(model).items():
        for path, gradient in now.items():
            torch.testing.assert_close(gradient, before[name][path] * expected[name])
    assert all(torch.equal(p.grad, b) for p, b in zip(model.head.parameters(), head, strict=True))


def test_against_the_mean_two_may_lead_and_against_the_maximum_one():
    model, own, labels = prepare(gain=1.0)
    own["quiet"] = own["audio"] - 0.1 * torch.eye(3)[labels]
    slowed = {}
    for against in ("mean", "max"):
        modulation = OGMGE(model, noise=False, against=against)
        modulation.observe(own, labels)
        slowed[against] = {name for name, k in modulation.modulate().items() if k < 1}
    assert slowed == {"mean": {"audio", "quiet"}, "max": {"audio"}}


def test_for_two_branches_mean_and_maximum_are_the_same():
    model, own, labels = prepare(NAMES[:2])
    factors = []
    for against in ("mean", "max"):
        modulation = OGMGE(model, noise=False, against=against)
        modulation.observe(own, labels)
        factors.append(modulation.modulate())
    assert factors[0] == factors[1]


def test_the_noise_of_each_parameter_has_the_spread_of_its_own_gradient():
    model, own, labels = prepare(NAMES[:2])
    before = gradients(model)
    expected = reference_factors(own, labels, 0.5, "mean")
    modulation = OGMGE(model, alpha=0.5)
    draws = []
    for _ in range(300):
        for name, branch in model.branches.items():
            for path, parameter in branch.named_parameters():
                parameter.grad = before[name][path].clone()
        modulation.observe(own, labels)
        modulation.modulate()
        draws.append(gradients(model))
    for name, paths in before.items():
        for path, gradient in paths.items():
            noise = torch.stack([d[name][path] - expected[name] * gradient for d in draws])
            mean = sum(gradient.flatten().tolist()) / gradient.numel()
            squares = sum((g - mean) ** 2 for g in gradient.flatten().tolist())
            spread = math.sqrt(squares / (gradient.numel() - 1))
            assert noise.std().item() == pytest.approx(spread, rel=0.1), (name, path)
            assert abs(noise.mean().item()) < 4 * spread / math.sqrt(noise.numel()), (name, path)


def test_the_noise_is_by_seed_and_step_and_leaves_torchs_own_alone():
    results = {}
    for title, seed, steps in (("a", 0, 0), ("again", 0, 0), ("seed", 1, 0), ("later", 0, 5)):
        model, own, labels = prepare()
        modulation = OGMGE(model, seed=seed)
        modulation.load_state_dict({"steps": steps})
        state = torch.get_rng_state()
        modulation.observe(own, labels)
        modulation.modulate()
        assert torch.equal(torch.get_rng_state(), state)
        assert modulation.state_dict() == {"steps": steps + 1}
        results[title] = gradients(model)["loud"]["first.weight"]
    assert torch.equal(results["a"], results["again"])
    assert not torch.equal(results["a"], results["seed"])
    assert not torch.equal(results["a"], results["later"])


def test_accumulated_gradients_are_modulated_once_by_all_their_samples():
    model, own, labels = prepare()
    parts = OGMGE(model, noise=False)
    for rows in (slice(0, 3), slice(3, 8)):
        parts.observe({name: each[rows] for name, each in own.items()}, labels[rows])
    whole = OGMGE(copy.deepcopy(model), noise=False)
    whole.observe(own, labels)
    assert parts.modulate() == pytest.approx(whole.modulate())


def test_what_is_frozen_or_not_reached_stays():
    model, own, labels = prepare(freeze=fk.Freeze.last(1))
    modulation = OGMGE(model)
    modulation.observe(own, labels)
    modulation.modulate()
    for branch in model.branches.values():
        assert branch.first.weight.grad is None
        assert branch.second.weight.grad is not None


def test_it_acts_in_its_epochs_only():
    model, own, labels = prepare()
    modulation = OGMGE(model, epochs=(1, 3))
    for epoch, acts in enumerate([False, True, True, False]):
        model.set_epoch(epoch)
        before = gradients(model)
        modulation.observe(own, labels)
        factors = modulation.modulate()
        assert modulation.active == acts
        assert (factors["audio"] < 1) == acts
        same = torch.equal(gradients(model)["loud"]["first.weight"], before["loud"]["first.weight"])
        assert same != acts


def test_the_scale_of_a_gradient_scaler_goes_through():
    """So it may come before or after ``unscale_``."""
    results = []
    for scale in (1.0, 1024.0):
        model, own, labels = prepare()
        for parameter in model.branches.parameters():
            parameter.grad.mul_(scale)
        modulation = OGMGE(model)
        modulation.observe(own, labels)
        modulation.modulate()
        results.append(model.branches["audio"].first.weight.grad / scale)
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("first", ["modulate", "unscale"])
def test_a_real_gradient_scaler_steps_as_without_one(first):
    plain, own, labels = prepare()
    optimizer = torch.optim.SGD(plain.param_groups(lr=0.1))
    modulation = OGMGE(plain)
    modulation.observe(own, labels)
    modulation.modulate()
    optimizer.step()
    model = build("mean_logits", NAMES, num_classes=3)
    optimizer = torch.optim.SGD(model.param_groups(lr=0.1))
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    x, labels = draw_noise(NAMES, 8, 3)
    scaler.scale(cross_entropy(model(x), labels)).backward()
    modulation = OGMGE(model)
    modulation.observe(own, labels)
    if first == "unscale":
        scaler.unscale_(optimizer)
    modulation.modulate()
    scaler.step(optimizer)
    for one, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_what_overflowed_stays_visible_to_a_gradient_scaler():
    model, own, labels = prepare()
    model.branches["audio"].first.weight.grad[0, 0] = float("inf")
    modulation = OGMGE(model)
    modulation.observe(own, labels)
    modulation.modulate()
    assert not model.branches["audio"].first.weight.grad.isfinite().all()


def test_probabilities_as_labels_are_whole_numbers_softened():
    model, own, labels = prepare()
    factors = []
    for each in (labels, torch.eye(3)[labels]):
        modulation = OGMGE(model, noise=False)
        modulation.observe(own, each)
        factors.append(modulation.modulate())
    assert factors[0] == pytest.approx(factors[1])


def test_a_rival_without_any_confidence_stops_the_leader():
    model, own, labels = prepare(NAMES[:2])
    own["audio"] = 1e4 * torch.eye(3)[labels]
    own["loud"] = -own["audio"]
    modulation = OGMGE(model, noise=False)
    modulation.observe(own, labels)
    assert modulation.modulate() == {"audio": 0.0, "loud": 1.0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0}, "alpha is a positive number, got 0"),
        ({"alpha": float("nan")}, "alpha is a positive"),
        ({"alpha": True}, "alpha is a positive"),
        ({"against": "min"}, "against is 'mean' or 'max', got 'min'"),
        ({"epochs": 50}, r"for example \(0, 50\), got 50"),
        ({"epochs": (5, 5)}, r"got \(5, 5\)"),
        ({"epochs": (0, 5, 6)}, r"got \(0, 5, 6\)"),
        ({"seed": -1}, "seed is a whole number"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(fk.PolicyError, match=message):
        OGMGE(build(), **options)


def test_one_branch_has_nobody_to_lead():
    with pytest.raises(
        fk.PolicyError, match="one branch, 'loud', and gradient modulation compares"
    ):
        OGMGE(build(names=("loud",)))


def test_to_modulate_without_having_observed_is_refused():
    model, own, labels = prepare()
    modulation = OGMGE(model)
    modulation.observe(own, labels)
    modulation.modulate()
    with pytest.raises(fk.PolicyError, match=r"comes after observe\(scores.branches, labels\)"):
        modulation.modulate()


def test_scores_of_other_branches_are_refused():
    model, own, labels = prepare()
    with pytest.raises(fk.PolicyError, match="the scores lack the branch 'quiet'"):
        OGMGE(model).observe({name: own[name] for name in NAMES[:2]}, labels)


@pytest.mark.parametrize("labels", [torch.zeros(8), torch.zeros(3, dtype=torch.long)], ids=str)
def test_labels_that_fit_no_scores_are_refused(labels):
    model, own, _ = prepare()
    with pytest.raises(fk.DataError, match=r"for scores \(8, 3\), got torch"):
        OGMGE(model).observe(own, labels)


class Shard(torch.Tensor):
    """Stands for what FSDP gives."""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (torch.Tensor.to_sparse, r"Tensor \(torch\.sparse_coo\)"),
        (lambda gradient: gradient.as_subclass(Shard), r"Shard \(torch\.strided\)"),
    ],
    ids=["sparse", "sharded"],
)
def test_a_gradient_that_is_not_whole_and_dense_is_refused_by_name(change, told):
    model, own, labels = prepare()
    weight = model.branches["loud"].first.weight
    weight.grad = change(weight.grad)
    modulation = OGMGE(model)
    modulation.observe(own, labels)
    with pytest.raises(fk.PolicyError, match=rf"gradient of loud\.first\.weight is a {told}"):
        modulation.modulate()


def test_another_policys_state_is_refused():
    with pytest.raises(fk.PolicyError, match=r"its state is \{'steps': 12\}, got \{'step': 1\}"):
        OGMGE(build()).load_state_dict({"step": 1})


def train_imbalanced(seed, **options):
    data = draw_imbalanced(512, seed=100 + seed)
    model = build(seed=seed)
    optimizer = torch.optim.SGD(model.param_groups(lr=0.1), momentum=0.9)
    modulation = OGMGE(model, **options) if options else None
    for epoch in range(30):
        for x, labels in batches(data, epoch):
            scores = score(model, x)
            optimizer.zero_grad()
            cross_entropy(scores.fused, labels).backward()
            if modulation is not None:
                modulation.observe(scores.branches, labels)
                modulation.modulate()
            optimizer.step()
    return accuracies(model)


@pytest.mark.parametrize("noise", [True, False])
def test_the_branch_that_was_left_behind_learns_more(noise):
    plain = [train_imbalanced(seed) for seed in range(3)]
    slowed = [train_imbalanced(seed, alpha=1.5, noise=noise) for seed in range(3)]
    gains = {n: sum(s[n] - p[n] for s, p in zip(slowed, plain, strict=True)) / 3 for n in plain[0]}
    assert gains["quiet"] > 0.08
    assert gains["fused"] > 0.01
