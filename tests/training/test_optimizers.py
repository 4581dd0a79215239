"""Optimizers come by name, over the model's groups, torch's and timm's."""

from __future__ import annotations

import pytest
import torch
from loops import Noise, build

import fusionkit as fk
from fusionkit.training import build_optimizer


def step(model, optimizer):
    data = Noise()
    torch.nn.functional.cross_entropy(model(data.x), data.y).backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize(
    "name", ["adamw", "SGD", "rmsprop", "NAdam", "timm/lamb", "timm/sgdw", "timm/lookahead_adamw"]
)
def test_a_thaw_in_mid_run_changes_no_group_and_what_is_frozen_stays(name: str) -> None:
    model = build(b=fk.Branch("toy/tiny", weights=None, freeze=fk.Freeze.all()))
    optimizer = build_optimizer(model, name, lr=1e-2, weight_decay=0.1)
    names = [group["name"] for group in optimizer.param_groups]
    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert rates["a/top/decay"] == pytest.approx(rates["head/decay"] / 2)
    for epoch in (0, 2):
        model.train().set_epoch(epoch)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        step(model, optimizer)
        moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
        learning = {key for key, value in model.named_parameters() if value.requires_grad}
        assert moved == learning  # the stage that thaws has no norm layer
        assert any(key.startswith("branches.a.top") for key in moved) == (epoch == 2)
    assert [group["name"] for group in optimizer.param_groups] == names


def test_torch_fuses_where_it_can() -> None:
    model = build()
    assert build_optimizer(model, lr=1e-3).defaults["fused"]
    assert build_optimizer(model, "sgd", lr=1e-3).defaults["momentum"] == 0.9
    assert not build_optimizer(model, lr=1e-3, foreach=True).defaults["fused"]
    assert not build_optimizer(model, lr=1e-3, fuse=False).defaults["fused"]
    assert build_optimizer(model, lr=1e-3, fuse=False, fused=True).defaults["fused"]
    assert "fused" not in build_optimizer(model, "rmsprop", lr=1e-3).defaults


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("adamq", {}, fk.ConfigError, "there is no optimizer 'adamq'. Did you mean 'adam"),
        ("lbfgs", {}, fk.ConfigError, "takes one rate for all parameters"),
        ("SparseAdam", {}, fk.ConfigError, "moves nothing but parameters with sparse gradients"),
        ("timm/adahessian", {}, fk.ConfigError, "needs gradients of gradients.* 'adamw'"),
        ("timm/lookahead_adahessian", {}, fk.ConfigError, "needs gradients of gradients"),
        ("timm/fusedsgd", {}, fk.ConfigError, "'timm/fusedsgd' cannot be made here: .*APEX"),
        ("timm/lamp", {}, fk.ConfigError, "timm has no optimizer 'lamp'. Did you mean 'timm/lamb'"),
        (
            "sgd",
            {"momentun": 1},
            fk.OptionError,
            "cannot take: .*Did you mean 'momentum'",
        ),
        ("sgd", {"momentum": -1}, fk.ConfigError, "'sgd' refuses its options"),
    ],
)
def test_wrong_names_and_options(name, options, error, message) -> None:
    with pytest.raises(error, match=message):
        build_optimizer(build(), name, lr=1e-3, **options)
