import math

import pytest
import torch
from torch import nn

from fusionkit.errors import CheckpointError, ResumeError
from fusionkit.training import read_state, write_state
from fusionkit.training.resume.optimizer_state import capture_optimizer, restore_optimizer


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.Linear(4, 2))


def step(model, optimizer, seed):
    torch.manual_seed(seed)
    x = torch.randn(8, 3)

    def closure():
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)


def named(groups=("decay", "no_decay")):
    def build(model, order=1):
        weights = [p for p in model.parameters() if p.ndim > 1][::order]
        rest = [p for p in model.parameters() if p.ndim == 1][::order]
        both = [{"name": groups[0], "params": weights, "weight_decay": 0.1}]
        return [*both, {"name": groups[1], "params": rest, "weight_decay": 0.0}][::order]

    return build


OPTIMIZERS = {
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=0.1, amsgrad=True),
    "fused": lambda groups: torch.optim.AdamW(groups, lr=0.1, fused=True),
    "tensor rate": lambda groups: torch.optim.Adam(groups, lr=torch.tensor(0.1), foreach=False),
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda groups: torch.optim.RMSprop(groups, lr=0.01, centered=True),
    "adafactor": lambda groups: torch.optim.Adafactor(groups, lr=0.01),
    "nadam": lambda groups: torch.optim.NAdam(groups, lr=0.01),
    "asgd": lambda groups: torch.optim.ASGD(groups, lr=0.01),
}


def after(model, optimizer, steps=range(3, 6)):
    for seed in steps:
        step(model, optimizer, seed)
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_f065_each_parameter_gets_its_own_state_back_in_whatever_order(tmp_path, kind):
    model = net()
    optimizer = OPTIMIZERS[kind](named()(model))
    for seed in range(3):
        step(model, optimizer, seed)
    saved = {"o": capture_optimizer(model, optimizer), "m": model.state_dict()}
    saved = read_state(write_state(tmp_path / "state", saved))
    expected = after(model, optimizer)

    for order in (1, -1):
        other = net(seed=9)
        reordered = OPTIMIZERS[kind](named()(other, order))
        for seed in range(5, 7):
            step(other, reordered, seed)  # what it knew before goes
        rate = reordered.param_groups[0]["lr"]
        other.load_state_dict(saved["m"])
        restore_optimizer(saved["o"], other, reordered)
        found = after(other, reordered)
        assert all(torch.equal(expected[name], found[name]) for name in expected)
        assert [group["weight_decay"] for group in reordered.param_groups] == [0.1, 0.0][::order]
        if isinstance(rate, torch.Tensor):
            assert reordered.param_groups[0]["lr"] is rate


def test_an_optimizer_that_keeps_all_in_one_parameter_comes_back(tmp_path):
    model = net()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    step(model, optimizer, 0)
    state = {"o": capture_optimizer(model, optimizer), "m": model.state_dict()}
    saved = read_state(write_state(tmp_path / "state", state))
    expected = after(model, optimizer)
    other = net(seed=4)
    other.load_state_dict(saved["m"])
    again = torch.optim.LBFGS(other.parameters(), max_iter=3)
    restore_optimizer(saved["o"], other, again)
    found = after(other, again)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_state_finer_than_its_parameter_keeps_its_type():
    model = nn.Linear(2, 2, dtype=torch.bfloat16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    exact = torch.tensor([[math.pi, 1.0], [2.0, 3.0]])
    optimizer.state[model.weight]["momentum_buffer"] = exact.clone()
    saved = capture_optimizer(model, optimizer)
    again = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    restore_optimizer(saved, model, again)
    assert torch.equal(again.state[model.weight]["momentum_buffer"], exact)
    assert again.state[model.weight]["momentum_buffer"] is not exact


def test_new_options_are_kept_where_they_shall_be():
    model = net()
    saved = capture_optimizer(model, torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.8)
    restore_optimizer(saved, model, optimizer, new_options=True)
    assert optimizer.param_groups[0]["lr"] == 0.1
    restore_optimizer(saved, model, optimizer)
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]) == (0.5, 0.9)


def wrong_class(model):
    return torch.optim.SGD(named()(model), lr=0.1), "is that of AdamW, and the optimizer is SGD"


def wrong_groups(model):
    groups = named(("decay", "rest"))(model)
    return torch.optim.AdamW(groups), "other groups than .* it lacks no_decay, and has rest in add"


def wrong_members(model):
    groups = named()(model)
    groups[1]["params"].append(groups[0]["params"].pop())
    return torch.optim.AdamW(groups), r"in its group 'decay' than .* it lacks 3\.weight, and has no"


def wrong_count(model):
    return torch.optim.AdamW(model.parameters()), "it lacks decay, no_decay, and has 0 in addition"


@pytest.mark.parametrize("wrong", [wrong_class, wrong_groups, wrong_members, wrong_count])
def test_another_optimizer_is_refused(wrong):
    model = net()
    saved = capture_optimizer(model, torch.optim.AdamW(named()(model)))
    optimizer, said = wrong(model)
    with pytest.raises(ResumeError, match=said):
        restore_optimizer(saved, model, optimizer)


def test_f065_another_shape_is_found_before_the_first_step():
    model = net()
    saved = capture_optimizer(model, torch.optim.AdamW(named()(model)))
    model[3] = nn.Linear(4, 3)
    with pytest.raises(
        ResumeError,
        match=r"state of '3\.weight' is for the shape \(2, 4\), but .* \(3, 4\)",
    ):
        restore_optimizer(saved, model, torch.optim.AdamW(named()(model)))


def test_a_parameter_without_a_name_is_refused():
    model, loss = net(), nn.Linear(1, 1)
    optimizer = torch.optim.SGD([*model.parameters(), *loss.parameters()], lr=0.1)
    with pytest.raises(CheckpointError, match=r"group '0' has a parameter of shape \(1, 1\) that"):
        capture_optimizer(model, optimizer)


@pytest.mark.parametrize("other_order", [torch.channels_last, torch.contiguous_format])
def test_f052_a_fused_optimizer_finds_its_state_as_the_parameter_lies(tmp_path, other_order):
    def build(order=torch.channels_last):
        torch.manual_seed(0)
        conv = nn.Conv2d(3, 4, 3).to(memory_format=order)
        return conv, torch.optim.AdamW(conv.parameters(), lr=0.1, fused=True)

    def steps(conv, optimizer, seeds):
        for seed in seeds:
            torch.manual_seed(seed)
            conv(torch.randn(2, 3, 5, 5)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()

    conv, optimizer = build()
    steps(conv, optimizer, range(3))
    state = {"o": capture_optimizer(conv, optimizer), "m": conv.state_dict()}
    saved = read_state(write_state(tmp_path / "state", state))
    other, again = build(other_order)
    other.load_state_dict(saved["m"])
    restore_optimizer(saved["o"], other, again)
    assert again.state[other.weight]["exp_avg"].stride() == other.weight.stride()
    steps(conv, optimizer, range(3, 6))
    steps(other, again, range(3, 6))
    if other_order is torch.channels_last:
        assert torch.equal(conv.weight, other.weight)
    torch.testing.assert_close(conv.weight, other.weight)
