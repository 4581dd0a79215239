"""Statistics are taken anew where norms learn, and nowhere else."""

from __future__ import annotations

import pytest
import torch
from surgery_toys import INPUTS, assert_same, fused, tensors_of
from torch import nn
from torch.optim.swa_utils import update_bn

import fusionkit as fk


def norms_of(module):
    return {n: v for n, v in tensors_of(module).items() if "running" in n or "tracked" in n}


def thawed():
    return fused(epoch=9)


def test_frozen_norms_stay_and_others_are_as_torch_takes_them():
    torch.manual_seed(0)
    batches = [{n: torch.randn_like(x) for n, x in INPUTS.items()} for _ in range(3)]
    model, other = thawed(), thawed()
    parameters = {n: p.detach().clone() for n, p in model.named_parameters()}
    frozen = norms_of(model.branches["rgb"])
    for each in (*model.modules(), *other.modules()):
        if isinstance(each, nn.Dropout):
            each.p = 0.0
    assert fk.update_norms(model, batches) is model
    update_bn(batches, other)
    assert_same(norms_of(model.branches["flow"]), norms_of(other.branches["flow"]))
    assert_same(norms_of(model.branches["rgb"]), frozen)
    assert not torch.equal(
        other.branches["rgb"].stem[1].running_mean, model.branches["rgb"].stem[1].running_mean
    )
    assert_same({n: p.detach() for n, p in model.named_parameters()}, parameters)
    assert not model.training
    assert model.branches["flow"].stem[1].momentum == 0.1


@pytest.mark.parametrize(
    ("batches", "error"),
    [([], fk.ConfigError), ([INPUTS, {"image": INPUTS["image"]}], fk.DataError)],
    ids=["none", "wrong"],
)
def test_if_it_fails_all_is_as_it_was(batches, error):
    model = thawed().train()
    before = tensors_of(model)
    with pytest.raises(error):
        fk.update_norms(model, batches)
    assert_same(tensors_of(model), before)
    assert model.training
    assert model.branches["flow"].stem[1].momentum == 0.1


def test_it_takes_a_model():
    with pytest.raises(fk.ConfigError, match="update_norms takes a FusedModel"):
        fk.update_norms(torch.nn.BatchNorm2d(3), [])
