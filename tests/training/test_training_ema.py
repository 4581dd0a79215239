"""The average is the formula's, frozen tensors keep their bits, and it can be resumed."""

from __future__ import annotations

import pytest
import torch
from loops import Noise, build, optimizers

import fusionkit as fk
from fusionkit.training import EMA


def steps(model, ema, count, optimizer=None):
    optimizer = optimizer or optimizers(model)[0]
    data = Noise()
    model.train().set_epoch(4)
    for _ in range(count):
        torch.nn.functional.cross_entropy(model(data.x), data.y).backward()
        optimizer.step()
        optimizer.zero_grad()
        ema.update()
    return optimizer


@pytest.mark.parametrize("warmup", [False, True])
def test_it_is_the_formula(warmup: bool) -> None:
    model = build().double()
    ema = EMA(model, 0.9, warmup=warmup)
    expected = {name: value.clone() for name, value in ema.tensors.items()}
    optimizer = None
    data = Noise()
    data.x = data.x.double()
    for count in range(1, 4):
        model.train().set_epoch(4)
        optimizer = optimizer or optimizers(model)[0]
        torch.nn.functional.cross_entropy(model(data.x), data.y).backward()
        optimizer.step()
        optimizer.zero_grad()
        ema.update()
        decay = min(0.9, (1 + count) / (10 + count)) if warmup else 0.9
        now = dict(model.state_dict())
        for name, value in expected.items():
            expected[name] = decay * value + (1 - decay) * now[name]
    for name, value in ema.tensors.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-12, atol=1e-12)


def test_p1_what_is_frozen_keeps_its_bits() -> None:
    model = build(a=fk.Branch("toy/tiny", weights=None, freeze=fk.Freeze.last(1)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ema = EMA(model, 0.5)
    steps(model, ema, 3)
    assert not any(name.startswith("branches.a.stem") and "weight" in name for name in ema.tensors)
    with ema.applied():
        for name, value in model.state_dict().items():
            if name.startswith(("branches.a.stem", "branches.a.body")):
                assert torch.equal(value, before[name]), name


def test_a_branch_that_never_learns_is_not_held_twice() -> None:
    model = build(a=fk.Branch("toy/tiny", weights=None, freeze=fk.Freeze.all()))
    assert not any(name.startswith("branches.a.") for name in EMA(model).tensors)


def test_applied_puts_back_what_was_there() -> None:
    model = build()
    ema = EMA(model, 0.5)
    steps(model, ema, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    averages = {name: value.clone() for name, value in ema.tensors.items()}
    seen = {}
    with pytest.raises(ZeroDivisionError), ema.applied():
        _ = 1 / 0
    with ema.applied():
        seen.update({name: model.state_dict()[name].clone() for name in averages})
    assert all(torch.equal(seen[name], value) for name, value in averages.items())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    for name, value in averages.items():
        assert torch.equal(ema.tensors[name], value)


def test_an_average_of_bfloat16_moves_where_each_step_is_below_its_rounding() -> None:
    model = build().bfloat16()
    ema = EMA(model, 0.999, warmup=False)
    weight = model.head.out["a"].weight
    with torch.no_grad():
        weight.fill_(1.0)
        ema.tensors["head.out.a.weight"].zero_()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for _ in range(1000):
        ema.update()
    average = ema.tensors["head.out.a.weight"].clone()
    torch.testing.assert_close(average, torch.full_like(average, 1 - 0.999**1000))
    with ema.applied():
        assert torch.equal(weight, average.bfloat16())
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name]) or name == "head.out.a.weight"
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(ema.tensors["head.out.a.weight"], average)
    other = EMA(model, 0.999)
    other.load_state_dict(ema.state_dict())
    assert all(torch.equal(other.tensors[name], value) for name, value in ema.tensors.items())
    with ema.applied() as averaged, torch.no_grad():
        averaged.head.out["a"].weight.fill_(0.25)  # as update_norms changes statistics
    assert torch.equal(ema.tensors["head.out.a.weight"], torch.full_like(average, 0.25))


def test_p7_it_is_resumed() -> None:
    model = build()
    ema = EMA(model, 0.9)
    steps(model, ema, 2)
    state = {**ema.state_dict(), "tensors": {k: v.clone() for k, v in ema.tensors.items()}}
    other = EMA(build(), 0.9)
    other.load_state_dict(state)
    assert other.steps == ema.steps == 2
    assert all(torch.equal(other.tensors[name], value) for name, value in ema.tensors.items())


def test_another_models_averages_are_refused() -> None:
    state = EMA(build()).state_dict()
    still = fk.Branch("toy/tiny", weights=None, freeze=fk.Freeze.all())
    with pytest.raises(fk.ResumeError, match=r"made for another model: 'branches\.a\."):
        EMA(build(a=still)).load_state_dict(state)
    wide = fk.Branch("toy/tiny", weights=None, options={"width": 8})
    with pytest.raises(fk.ResumeError, match="made for another model"):
        EMA(build(a=wide)).load_state_dict(state)


@pytest.mark.parametrize("decay", [1.0, -0.1, "0.9", True, float("nan")])
def test_a_decay_is_below_one(decay) -> None:
    with pytest.raises(fk.ConfigError, match="EMA takes a decay from 0 up to"):
        EMA(build(), decay)
