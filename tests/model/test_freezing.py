"""What is frozen has no gradient, and what changed is said."""

from __future__ import annotations

import torch
from torch import nn

from fusionkit.model.freezing import freeze_all_but


def test_what_does_not_learn_is_frozen_and_loses_its_gradient():
    trunk = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    trunk(torch.ones(1, 2)).sum().backward()
    frozen, changed = freeze_all_but(trunk, {"1.weight", "1.bias"})
    assert changed
    assert [id(each) for each in frozen] == [id(each) for each in trunk[0].parameters()]
    assert all(each.grad is None and not each.requires_grad for each in frozen)
    assert all(each.grad is not None for each in trunk[1].parameters())


def test_it_says_when_nothing_changed():
    trunk = nn.Linear(2, 2)
    assert freeze_all_but(trunk, {"weight", "bias"}) == ((), False)
    assert freeze_all_but(trunk, {"weight"})[1]
    assert not freeze_all_but(trunk, {"weight"})[1]
    assert freeze_all_but(trunk, {"weight", "bias"})[1]
    assert trunk.bias.requires_grad
