"""A backbone without memory for its parameters, also where building one computes with numbers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from odd_toys import OddNet

import fusionkit as fk
from fusionkit.assembly.weightless import build_weightless


def plain(*, in_channels, weights, num_classes):
    assert weights is None
    return OddNet(in_channels)


def counting(*, in_channels, weights, num_classes):
    widths = (torch.arange(3) + 6).tolist()  # a tensor on no device has no numbers
    return OddNet(in_channels, widths[-1])


def broken(*, in_channels, weights, num_classes):
    raise ValueError("no such layer")


def entry(name):
    toys = {"plain": plain, "counting": counting, "broken": broken}
    offered = SimpleNamespace(fusionkit_backbones=fk.hookimpl(lambda: toys))
    return fk.Catalog().with_plugin("toys", offered).backbone(f"toys/{name}")


@pytest.mark.parametrize("name", ["plain", "counting"])
def test_no_parameter_takes_memory(name):
    backbone = build_weightless(entry(name), in_channels=2)
    shapes = {key: value.shape for key, value in OddNet(2).state_dict().items()}
    assert {key: value.shape for key, value in backbone.state_dict().items()} == shapes
    assert all(value.is_meta for value in backbone.parameters())
    assert not torch.empty(1).is_meta


def test_what_cannot_be_built_says_why():
    with pytest.raises(fk.AssemblyError, match=r"toys/broken cannot be .* ValueError: no such"):
        build_weightless(entry("broken"))
