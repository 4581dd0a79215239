"""Blocks are closed where their parameters are read in their own calls only."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toys import TinyNet

import fusionkit as fk
from fusionkit.model.closed import closed_blocks

READS = fk.Reads(vector=True)


class Odd(fk.Backbone):
    """Blocks that are called, bypassed, read from outside, shared, and never run."""

    in_channels = 3
    embed_dim = 4

    def __init__(self) -> None:
        super().__init__()
        self.stages = (
            fk.Stage("first", "called", "bypassed", ("pair", "other")),
            fk.Stage("second", "peeked", "twice", "again", "list", "token", "idle"),
        )
        for name in ("called", "bypassed", "pair", "other", "peeked", "twice", "again", "idle"):
            setattr(self, name, nn.Linear(3, 3))
        self.again.weight = self.twice.weight
        self.list = nn.ModuleList([nn.Linear(3, 4)])
        self.token = nn.Parameter(torch.zeros(3))

    def forward(self, x, reads):
        x = self.called(x.mean((2, 3)))
        assert self.called.weight.shape == (3, 3)  # its shape is no value
        x = self.bypassed.bias + nn.functional.linear(x, self.bypassed.weight)
        x = self.other(self.pair(x)) + self.token
        x = self.peeked(x) * self.peeked.weight.sum()
        return fk.Features(vector=self.list[0](self.again(self.twice(x))))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_only_blocks_that_run_by_themselves_are_closed(dtype):
    backbone = Odd().to(dtype)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    assert closed_blocks(backbone, READS) == ("called",)
    assert all(torch.equal(before[name], now) for name, now in backbone.state_dict().items())
    assert not backbone.called._forward_pre_hooks


def test_blocks_that_are_not_run_for_what_is_read_are_not_closed():
    backbone = TinyNet()
    assert closed_blocks(backbone, READS) == ("stem", "body.0", "top")
    assert closed_blocks(backbone, fk.Reads(maps=(0, 1))) == ("stem", "body.0")
