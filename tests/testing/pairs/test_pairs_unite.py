"""A pair is joined, and what goes wrong is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toys import ToyPlugin, VectorNet

import fusionkit as fk
from fusionkit.testing.pairs.draw import Pair
from fusionkit.testing.pairs.unite import unite

ALL, NONE = fk.Freeze.all(), fk.Freeze.none()


class Restless(VectorNet):
    """Moves a frozen parameter in its forward pass."""

    def forward(self, x: torch.Tensor, reads: fk.Reads) -> fk.Features:
        features = super().forward(x, reads)
        with torch.no_grad():
            self.first.weight.mul_(1.5)
        return features


class Strange(ToyPlugin):
    @fk.hookimpl
    def fusionkit_backbones(self):
        def restless(*, in_channels, weights, num_classes):
            return Restless(in_channels)

        return {**super().fusionkit_backbones(), "restless": restless}


CATALOG = fk.Catalog.installed().with_plugin("toy", Strange())


def pair(first: str, second: str, head: fk.Head, freeze=(NONE, NONE)) -> Pair:
    return Pair(1, (f"toy/{first}", f"toy/{second}"), head, freeze, (fk.LR(), fk.LR(0.1)))


@pytest.mark.parametrize("head", [fk.Head("concat"), fk.Head("mean_logits")], ids=str)
def test_unlike_branches_are_joined(head: fk.Head, tmp_path: Path) -> None:
    steps: list[str] = []
    assert unite(pair("tiny", "vector", head, (NONE, ALL)), CATALOG, tmp_path, steps.append) == []
    assert steps == ["looking for small inputs", "composing", "training", "saving", "loading"]


def test_maps_are_joined(tmp_path: Path) -> None:
    assert unite(pair("tiny", "tiny", fk.Head("two_stream_maps")), CATALOG, tmp_path) == []


def test_what_moves_though_it_is_frozen_is_told(tmp_path: Path) -> None:
    told = unite(pair("tiny", "restless", fk.Head("concat"), (NONE, ALL)), CATALOG, tmp_path)
    assert "1 frozen parameters moved: ['branches.two.first.weight']" in told
    assert "the loaded model gives another answer" in told


def test_a_norm_that_a_branch_has_not_is_no_fault(tmp_path: Path) -> None:
    only = (fk.Freeze.only("norm"), fk.Freeze.only("norm"))
    assert unite(pair("tiny", "vector", fk.Head("concat"), only), CATALOG, tmp_path) == []


def test_what_cannot_be_joined_raises(tmp_path: Path) -> None:
    with pytest.raises(fk.AssemblyError, match="has no maps"):
        unite(pair("tiny", "vector", fk.Head("two_stream_maps")), CATALOG, tmp_path)
