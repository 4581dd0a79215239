"""A checksum tells apart whatever computes other features, and is taken again only when needed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import fusionkit as fk
from fusionkit.cache import weights as weights_module
from fusionkit.cache.weights import Weights, glance


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("mask", torch.ones(2, dtype=torch.bool), persistent=False)
        self.register_buffer("phase", torch.zeros(1, dtype=torch.complex64))
        self.register_buffer("nothing", torch.zeros(0))


def bump(net, change):
    with torch.no_grad():
        change(net)


CHANGES = {
    "a weight": lambda net: net.linear.weight[0, 0].add_(1e-6),
    "a weight behind torch's back": lambda net: net.linear.weight.data[0, 0].add_(1e-6),
    "a statistic": lambda net: net.norm.running_mean.add_(1),
    "a counter": lambda net: net.norm.num_batches_tracked.add_(1),
    "a buffer that is not saved": lambda net: net.mask[0].logical_not_(),
    "a complex buffer": lambda net: net.phase.add_(1j),
    "a type": lambda net: net.linear.double(),
    "another tensor": lambda net: setattr(net, "mask", torch.zeros(2, dtype=torch.bool)),
    "a name": lambda net: net.register_buffer("more", torch.zeros(0)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_f089_f095_any_change_of_a_tensor_makes_another_checksum(name):
    net, weights = Net(), Weights()
    before = weights.checksum(net)
    assert weights.checksum(net) == before
    bump(net, CHANGES[name])
    assert weights.checksum(net) != before


@pytest.mark.parametrize("size", [3, 16, 17, 3 * 2 * weights_module.ROW + 5])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.int64])
def test_values_that_change_places_behind_torch_s_back_are_seen(size, dtype):
    module = nn.Module()
    values = torch.arange(size) % 251
    module.register_buffer("values", values.to(dtype))
    places = {0, 1, size // 3, size // 2, size - 2, size - 1}
    seen = set()
    for one in sorted(places):
        for other in sorted(places):
            before = glance(module)
            data = module.values.data
            data[one], data[other] = data[other].item(), data[one].item()
            changed = data[one].item() != data[other].item()
            assert (glance(module) != before) is changed, (one, other)
            seen.add(changed)
    assert seen == {True, False}
    before = glance(module)
    module.values.data.copy_(module.values.flip(0))
    assert glance(module) != before


def test_the_same_tensors_make_the_same_checksum_wherever_they_lie():
    one, other = Net(), Net()
    other.linear.weight.data = one.linear.weight.data.t().contiguous().t()
    assert Weights().checksum(one) == Weights().checksum(other)


def test_a_checksum_is_taken_once(monkeypatch):
    net, weights = Net(), Weights()
    weights.checksum(net)
    monkeypatch.setattr(weights_module, "_digest", lambda _: pytest.fail("taken again"))
    weights.checksum(net)


def test_a_glance_takes_tensors_of_any_length_and_place():
    memory = torch.zeros(40, dtype=torch.uint8)
    module = nn.Module()
    module.register_buffer("odd", memory[3:16])
    before = glance(module)
    memory[15] = 1
    assert glance(module) != before


def test_tensors_without_values_are_refused():
    with pytest.raises(fk.CacheError, match="'weight' is on the meta device"):
        Weights().checksum(nn.Linear(2, 2, device="meta"))
    module = nn.Module()
    module.register_buffer("sparse", torch.ones(2, 2).to_sparse())
    with pytest.raises(fk.CacheError, match="'sparse' is no plain tensor"):
        Weights().checksum(module)
