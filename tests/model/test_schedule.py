"""Any shape of torch's keeps the ratios between the groups' rates."""

from __future__ import annotations

import io
import json

import pytest
import torch
from odd_toys import branch, build, images
from torch import nn
from torch.optim import lr_scheduler as shapes

import fusionkit as fk

STEPS = 12

# name: (our call, torch's own class for one group at the rate `base`, its options)
CASES = {
    "constant": ({}, lambda o, base: shapes.ConstantLR(o, 1.0, 0)),
    "linear": ({"total_steps": STEPS}, lambda o, base: shapes.LinearLR(o, 1.0, 0.0, STEPS)),
    "linear warm-up": (
        {"shape": "linear", "total_steps": 4, "start_factor": 0.1, "end_factor": 1.0},
        lambda o, base: shapes.LinearLR(o, 0.1, 1.0, 4),
    ),
    "step": ({"step_size": 3, "gamma": 0.5}, lambda o, base: shapes.StepLR(o, 3, 0.5)),
    "multistep": ({"milestones": [2, 7]}, lambda o, base: shapes.MultiStepLR(o, [2, 7])),
    "exponential": ({"gamma": 0.9}, lambda o, base: shapes.ExponentialLR(o, 0.9)),
    "polynomial": (
        {"total_steps": STEPS, "power": 2.0},
        lambda o, base: shapes.PolynomialLR(o, STEPS, 2.0),
    ),
    "cosine": (
        {"total_steps": STEPS, "eta_min": 0.01},
        lambda o, base: shapes.CosineAnnealingLR(o, STEPS, 0.01 * base),
    ),
    "cosine_restarts": (
        {"T_0": 3, "T_mult": 2, "eta_min": 0.1},
        lambda o, base: shapes.CosineAnnealingWarmRestarts(o, 3, 2, 0.1 * base),
    ),
    "one_cycle": ({"total_steps": STEPS}, lambda o, base: shapes.OneCycleLR(o, base, STEPS)),
    "cyclic": (
        {"step_size_up": 3},
        lambda o, base: shapes.CyclicLR(o, 0.1 * base, base, step_size_up=3),
    ),
    "plateau": (
        {"patience": 1, "factor": 0.5},
        lambda o, base: shapes.ReduceLROnPlateau(o, patience=1, factor=0.5, eps=0.0),
    ),
    "lambda": (
        {"shape": shapes.LambdaLR, "lr_lambda": lambda step: 1 / (1 + step)},
        lambda o, base: shapes.LambdaLR(o, lambda step: 1 / (1 + step)),
    ),
    "multiplicative": (
        {"shape": shapes.MultiplicativeLR, "lr_lambda": lambda step: 0.9},
        lambda o, base: shapes.MultiplicativeLR(o, lambda step: 0.9),
    ),
    "one cycle by class": (
        {"shape": shapes.OneCycleLR, "max_lr": 1.0, "total_steps": STEPS},
        lambda o, base: shapes.OneCycleLR(o, base, STEPS),
    ),
    "sequential": (
        {"shape": lambda optimizer: sequential(optimizer, 0.01)},
        lambda o, base: sequential(o, 0.01 * base),
    ),
    "chained": (
        {
            "shape": lambda optimizer: shapes.ChainedScheduler(
                [shapes.ConstantLR(optimizer, 0.5, 3), shapes.ExponentialLR(optimizer, 0.9)],
                optimizer,
            )
        },
        lambda o, base: shapes.ChainedScheduler(
            [shapes.ConstantLR(o, 0.5, 3), shapes.ExponentialLR(o, 0.9)], o
        ),
    ),
}
OPTIMIZERS = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=1.0, momentum=0.9),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.98)),
    "adagrad": lambda groups: torch.optim.Adagrad(groups, lr=1.0),
}


def sequential(optimizer, eta_min):
    return shapes.SequentialLR(
        optimizer,
        [
            shapes.LinearLR(optimizer, 0.1, 1.0, 4),
            shapes.CosineAnnealingLR(optimizer, STEPS - 4, eta_min),
        ],
        [4],
    )


def make(name="cosine", freeze=None, warmup=0, optimizer="sgd", **further):
    model = build(
        {
            "a": branch(
                "tiny",
                freeze=freeze or fk.Freeze.gradual(start=2),
                lr=fk.LR(0.1, layer_decay=0.75, warmup=warmup),
            ),
            "b": branch("odd", lr=fk.LR(3.0)),
        }
    ).train()
    groups = OPTIMIZERS[optimizer](model.param_groups(lr=0.02, weight_decay=0.1))
    options = dict(CASES[name][0])
    shape = options.pop("shape", name)
    return model, groups, model.lr_scheduler(groups, shape, **options, **further)


def alone(name, base, kind):
    optimizer = OPTIMIZERS[kind]([nn.Parameter(torch.zeros(()))])
    optimizer.param_groups[0]["lr"] = base
    return optimizer, CASES[name][1](optimizer, base)


def metric(step: int) -> float:
    return 1.0 if step < 2 else 2.0


def advance(name, scheduler, step):
    scheduler.step(metric(step)) if name == "plateau" else scheduler.step()


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("name", CASES)
def test_p5_rates_equal_the_closed_form_and_ratios_hold_at_every_step(name, kind):
    model, optimizer, scheduler = make(name, optimizer=kind)
    bases = [group["initial_lr"] for group in optimizer.param_groups]
    cycles = name in ("one_cycle", "cyclic", "one cycle by class")
    single_kind = "sgd" if cycles and kind == "adagrad" else kind  # torch refuses an adagrad
    own = [alone(name, base, single_kind) for base in bases]
    for step in range(STEPS):
        for group, base, (single, _) in zip(optimizer.param_groups, bases, own, strict=True):
            assert group["lr"] == pytest.approx(single.param_groups[0]["lr"], rel=1e-9, abs=1e-15)
            first = optimizer.param_groups[0]
            assert group["lr"] * bases[0] == pytest.approx(first["lr"] * base, rel=1e-12)
            for key in ("momentum", "betas"):
                if key in group:
                    assert group[key] == pytest.approx(single.param_groups[0][key])
        assert scheduler.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
        if step == STEPS - 1:
            break
        model.set_epoch(step // 3)
        optimizer.step()
        advance(name, scheduler, step)
        for single, other in own:
            single.step()
            advance(name, other, step)


def test_p5_a_shape_moves_rates_at_all():
    """So that equality with torch above is not that of two constants."""
    for name in CASES.keys() - {"constant"}:
        _, optimizer, scheduler = make(name)
        seen = set()
        for step in range(6):
            seen.add(optimizer.param_groups[0]["lr"])
            optimizer.step()
            advance(name, scheduler, step)
        assert len(seen) > 1, name


@pytest.mark.parametrize("way", ["json", "weights_only"])
@pytest.mark.parametrize("name", [name for name in CASES if name not in ("chained",)])
def test_p5_a_resumed_run_has_the_rates_of_an_uninterrupted_one(name, way):
    model, optimizer, scheduler = make(name, warmup=2, steps_per_epoch=3)
    whole = []
    for step in range(STEPS - 1):
        if step == 5:
            state, groups = scheduler.state_dict(), optimizer.state_dict()
        model.set_epoch(step // 3)
        optimizer.step()
        advance(name, scheduler, step)
        whole.append([(g["lr"], g.get("momentum")) for g in optimizer.param_groups])
    if way == "json":
        state = json.loads(json.dumps(state))
    else:
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
    model, optimizer, scheduler = make(name, warmup=2, steps_per_epoch=3)
    optimizer.load_state_dict(groups)
    scheduler.load_state_dict(state)
    resumed = []
    for step in range(5, STEPS - 1):
        model.set_epoch(step // 3)
        optimizer.step()
        advance(name, scheduler, step)
        resumed.append([(g["lr"], g.get("momentum")) for g in optimizer.param_groups])
    assert resumed == whole[5:]


def test_f065_a_state_without_its_optimizer_still_restores_the_rates():
    _, optimizer, scheduler = make("cosine")
    for _ in range(4):
        optimizer.step()
        scheduler.step()
    rates = scheduler.get_last_lr()
    _, optimizer, again = make("cosine")
    again.load_state_dict(scheduler.state_dict())
    assert [group["lr"] for group in optimizer.param_groups] == rates


def test_f065_a_state_of_other_groups_is_refused():
    _, _, scheduler = make("cosine")
    state = scheduler.state_dict()
    model = build({"a": branch("odd")})
    optimizer = torch.optim.SGD(model.param_groups(lr=0.1))
    other = model.lr_scheduler(optimizer, "constant")
    with pytest.raises(fk.PolicyError, match=r"made for other parameter groups .*a/body/decay"):
        other.load_state_dict(state)


def test_it_is_a_torch_scheduler_and_a_grad_scaler_can_skip_steps():
    model, optimizer, scheduler = make("one_cycle", optimizer="adamw")
    assert isinstance(scheduler, shapes.LRScheduler)
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(3):
        optimizer.zero_grad()
        scaler.scale(model(images()).square().mean()).backward()
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
    assert scheduler.last_epoch == 3


def test_rates_that_are_tensors_are_written_in_place():
    model = build({"a": branch("odd", lr=fk.LR(0.1))})
    optimizer = torch.optim.AdamW(model.param_groups(lr=0.1))
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(group["lr"])
    held = [group["lr"] for group in optimizer.param_groups]
    scheduler = model.lr_scheduler(optimizer, "exponential", gamma=0.5)
    optimizer.step()
    scheduler.step()
    assert all(new["lr"] is old for new, old in zip(optimizer.param_groups, held, strict=True))
    assert held[0] == pytest.approx(0.005)
    assert held[-1] == pytest.approx(0.05)
    assert scheduler.get_last_lr()[0] is not held[0]
    json.dumps(scheduler.state_dict())


def test_a_second_moment_of_its_own_survives_a_cycled_first():
    model = build({"a": branch("odd")})
    groups = model.param_groups(lr=0.1)
    groups[1]["betas"] = (0.5, 0.7)
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95))
    model.lr_scheduler(optimizer, "one_cycle", total_steps=5)
    assert optimizer.param_groups[0]["betas"] == (0.95, 0.95)
    assert optimizer.param_groups[1]["betas"] == (0.95, 0.7)


def rate_of(optimizer, name: str) -> float:
    return next(group["lr"] for group in optimizer.param_groups if group["name"] == name)


def test_warm_up_by_step_rises_from_the_thaw_and_never_before():
    model, optimizer, scheduler = make(
        "constant", fk.Freeze.gradual(start=1, every=2), warmup=2, steps_per_epoch=2
    )
    full = {"top": 0.002, "body": 0.002 * 0.75**6}
    seen = {"top": [], "body": []}
    for step in range(12):
        model.set_epoch(step // 2)
        for stage, rates in seen.items():
            rates.append(rate_of(optimizer, f"a/{stage}/decay") / full[stage])
        optimizer.step()
        scheduler.step()
    third = 1 / 3
    assert seen["top"][2:8] == pytest.approx([third, third * 1.5, third * 2, third * 2.5, 1, 1])
    assert seen["body"][6:] == pytest.approx([third, third * 1.5, third * 2, third * 2.5, 1, 1])
    assert rate_of(optimizer, "b/one/decay") == pytest.approx(0.06)


@pytest.mark.parametrize("per_epoch", [1, 3])
def test_warm_up_by_epoch_rises_with_set_epoch_however_often_step_is_called(per_epoch):
    model, optimizer, scheduler = make("constant", fk.Freeze.gradual(start=1), warmup=2)
    seen = []
    for epoch in range(5):
        model.set_epoch(epoch)
        for _ in range(per_epoch):
            seen.append(rate_of(optimizer, "a/top/decay") / 0.002)
            optimizer.step()
            scheduler.step()
    wanted = [1 / 3, 1 / 3, 2 / 3, 1.0, 1.0]  # frozen in the first, thawed in the second
    assert seen == pytest.approx([value for value in wanted for _ in range(per_epoch)])


def test_a_model_with_a_scheduler_can_be_copied():
    import copy
    import pickle

    model, _, scheduler = make("cosine")
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        other.set_epoch(3)
    assert scheduler.get_last_lr() == [g["lr"] for g in scheduler.optimizer.param_groups]


@pytest.mark.parametrize(
    ("shape", "options", "kind", "message"),
    [
        ("cosin", {}, fk.ConfigError, r"no schedule 'cosin'\. Did you mean 'cosine'"),
        ("cosine", {}, fk.ConfigError, "'cosine' needs total_steps"),
        ("linear", {}, fk.ConfigError, "'linear' needs total_steps"),
        ("one_cycle", {}, fk.ConfigError, "'one_cycle' needs total_steps"),
        ("polynomial", {"power": 2}, fk.ConfigError, "'polynomial' needs total_steps"),
        ("exponential", {}, fk.OptionError, "missing a required argument: 'gamma'"),
        ("step", {"step_sise": 3}, TypeError, "Did you mean 'step_size'"),
        ("cosine", {"total_steps": 0}, fk.ConfigError, "total_steps must be a whole number"),
        ("constant", {"steps_per_epoch": 1.5}, fk.ConfigError, "steps_per_epoch must be a whole"),
        (3, {}, fk.ConfigError, "a schedule is a name or a class"),
        (lambda optimizer: None, {}, fk.ConfigError, "must give a torch scheduler .* NoneType"),
    ],
)
def test_f070_a_schedule_that_cannot_be_is_refused(shape, options, kind, message):
    model = build({"a": branch("odd")})
    optimizer = torch.optim.SGD(model.param_groups(lr=0.1))
    with pytest.raises(kind, match=message):
        model.lr_scheduler(optimizer, shape, **options)


def test_a_scheduler_that_is_already_built_is_refused():
    model = build({"a": branch("odd")})
    optimizer = torch.optim.SGD(model.param_groups(lr=0.1))
    with pytest.raises(fk.ConfigError, match="a scheduler that is already built will not"):
        model.lr_scheduler(optimizer, shapes.StepLR(optimizer, 2))


def test_an_optimizer_of_other_groups_is_refused():
    model = build({"a": branch("odd")})
    with pytest.raises(fk.PolicyError, match=r"a group None .*model\.param_groups"):
        model.lr_scheduler(torch.optim.SGD(model.parameters(), lr=0.1), "constant")
    with pytest.raises(fk.ConfigError, match="takes a torch optimizer, got list"):
        model.lr_scheduler(model.param_groups(lr=0.1), "constant")


def test_a_plateau_without_its_metric_is_refused():
    _, optimizer, scheduler = make("plateau")
    optimizer.step()
    with pytest.raises(fk.ConfigError, match=r"scheduler\.step\(metric\)"):
        scheduler.step()
    assert scheduler.last_epoch == 0
