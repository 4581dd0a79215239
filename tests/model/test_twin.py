"""A copy without data is what a deep copy is, and shares nothing that can change."""

from __future__ import annotations

from copy import deepcopy
from types import MethodType

import pytest
import torch
from odd_toys import PLAIN
from torch import nn

from fusionkit.model.twin import copy_without_data


class SaysHowItIsCopied(nn.Linear):
    def __deepcopy__(self, memo):
        copy = nn.Linear(self.in_features, self.out_features)
        memo[id(self)] = copy
        return copy


class LeavesOut(nn.Linear):
    def __getstate__(self):
        return {key: value for key, value in super().__getstate__().items() if key != "table"}


def forward_of(self, x):
    return x


@pytest.mark.parametrize("net", PLAIN)
def test_names_shapes_and_types_are_the_same_and_there_is_no_data(net):
    module = PLAIN[net]()
    twin, copy = copy_without_data(module), deepcopy(module)
    state, wanted = twin.state_dict(keep_vars=True), copy.state_dict(keep_vars=True)
    assert all(value.is_meta for value in state.values())
    for name, value in wanted.items():
        ours = state[name]
        assert (ours.shape, ours.dtype, ours.stride()) == (value.shape, value.dtype, value.stride())
        assert (type(ours), ours.requires_grad) == (type(value), value.requires_grad)
    assert len(list(twin.parameters())) == len(list(copy.parameters())), "ties stay"
    assert [type(part) for part in twin.modules()] == [type(part) for part in copy.modules()]


def test_what_can_change_is_shared_with_nobody():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    module.seen = [1]
    module.sizes = {"a": [2]}
    module.pair = ([3], 4)
    module.table = torch.ones(2)
    module[0].register_forward_hook(lambda *_: None)
    twin = copy_without_data(module)
    assert (twin.seen, twin.sizes, twin.pair) == ([1], {"a": [2]}, ([3], 4))
    twin.seen.append(0)
    twin.sizes["a"].append(0)
    twin.pair[0].append(0)
    twin.table.zero_()
    twin[0].register_forward_hook(lambda *_: None)
    twin[0].bias = None
    twin[1].eval()
    assert (module.seen, module.sizes, module.pair) == ([1], {"a": [2]}, ([3], 4))
    assert module.table.tolist() == [1, 1]
    assert len(module[0]._forward_hooks) == 1
    assert module[0].bias is not None
    assert module[1].training


def test_what_points_into_the_module_points_into_the_copy():
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    object.__setattr__(module, "first", module[0])
    module[1].forward = MethodType(forward_of, module[1])
    twin = copy_without_data(module)
    assert twin.first is twin[0]
    assert twin[1].forward.__self__ is twin[1]


def test_a_class_that_says_itself_how_it_is_copied_is_asked():
    module = nn.Sequential(SaysHowItIsCopied(2, 3), LeavesOut(2, 3))
    module[1].table = torch.ones(2)
    twin = copy_without_data(module)
    assert type(twin[0]) is nn.Linear
    assert type(twin[1]) is LeavesOut
    assert not hasattr(twin[1], "table")
