from __future__ import annotations

import copy
from collections import OrderedDict

import torch
from toys import TinyNet

import fusionkit as fk
from fusionkit.assembly import unread
from fusionkit.testing.sweep.shortcuts import shortcuts


def test_copies_are_what_they_were() -> None:
    shared = [1]
    given = OrderedDict(b=shared, a=shared)
    given._metadata = {"version": 1}
    itself = OrderedDict()
    itself["self"] = itself
    with shortcuts():
        made, round_trip = copy.deepcopy(given), copy.deepcopy(itself)
        twin = copy.deepcopy(net := TinyNet())
    assert (made, list(made), made._metadata) == (given, ["b", "a"], {"version": 1})
    assert made["a"] is made["b"] is not shared
    assert made._metadata is not given._metadata
    assert round_trip["self"] is round_trip is not itself
    assert all(map(torch.equal, net.state_dict().values(), twin.state_dict().values()))
    assert not {id(value) for value in net.parameters()} & {id(v) for v in twin.parameters()}


def test_an_equal_backbone_is_measured_once() -> None:
    runs = []

    class Counted(TinyNet):
        def forward(self, x: torch.Tensor, reads: fk.Reads) -> fk.Features:
            runs.append(x.device.type)
            return super().forward(x, reads)

    class Offer:
        @fk.hookimpl
        def fusionkit_backbones(self):
            return {"net": lambda *, in_channels, weights, num_classes: Counted(in_channels)}

    catalog = fk.Catalog.installed().with_plugin("counted", Offer())
    written = fk.Branch("counted/net", weights=None)
    whole = unread.unread_parameters
    with shortcuts():
        first, second = (fk.compose({"a": written}, "concat", 3, catalog=catalog) for _ in range(2))
        assert len(runs) == 1
        fk.compose({"a": fk.Branch("counted/net", weights=None, in_channels=1)}, "concat", 3,
                   catalog=catalog)  # fmt: skip
        assert len(runs) == 2
    assert unread.unread_parameters is whole
    assert first.parts["a"].learning(0) == second.parts["a"].learning(0) != frozenset()
