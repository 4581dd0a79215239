"""No tensor belongs to two branches."""

from __future__ import annotations

import pytest
import torch
from odd_toys import OddNet, odd_catalog
from torch import nn
from toys import SumHead

import fusionkit as fk


def compose(build, head="odd/sum", heads=()):
    def make(*, in_channels, weights, num_classes):
        return build()

    branches = {name: fk.Branch("odd/made", weights=None) for name in ("a", "b")}
    catalog = odd_catalog({"made": make}, heads)
    return fk.compose(branches, head, 5, catalog=catalog)


def test_f016_one_instance_as_two_branches_is_refused():
    one = OddNet()
    with pytest.raises(fk.AssemblyError, match=r"'a' and 'b' share the tensor 'one.weight'"):
        compose(lambda: one)


def test_f016_one_layer_in_two_branches_is_refused():
    layer = nn.Conv2d(8, 8, 3, 2, 1)

    def make():
        net = OddNet()
        net.two = layer
        return net

    with pytest.raises(fk.AssemblyError, match=r"share the tensor 'two.weight'; a factory must"):
        compose(make)


def test_f037_two_parameters_over_one_memory_are_refused():
    """As after loading one file into two networks with ``assign=True``."""
    state = OddNet().state_dict()

    def make():
        net = OddNet()
        net.load_state_dict(state, assign=True)
        return net

    with pytest.raises(fk.AssemblyError, match=r"share the tensor 'one.weight'"):
        compose(make)


def test_a_shared_buffer_is_refused():
    statistics = torch.zeros(8)

    def make():
        net = OddNet()
        net.register_buffer("statistics", statistics)
        return net

    with pytest.raises(fk.AssemblyError, match=r"share the tensor 'statistics'"):
        compose(make)


def test_a_head_that_keeps_a_parameter_of_a_branch_is_refused():
    nets = []

    def make():
        nets.append(OddNet())
        return nets[-1]

    class Thief(SumHead):
        def __init__(self, inputs, *, num_classes):
            super().__init__(inputs, num_classes=num_classes)
            self.stolen = nets[0].one.weight

    with pytest.raises(fk.AssemblyError, match="'a' and 'head' share the tensor 'stolen'"):
        compose(make, "odd/thief", {"thief": Thief})


def test_tied_parameters_of_one_branch_are_its_own_business():
    def make():
        net = OddNet()
        net.three.weight = net.two.weight
        return net

    compose(make)
