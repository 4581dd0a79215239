"""The maps of all branches, brought to one size and width."""

from __future__ import annotations

import pytest
import torch
from toy_features import make_inputs

import fusionkit as fk
from fusionkit.heads.parts.maps import BranchMaps


def test_an_adapted_stream_starts_no_louder():
    torch.manual_seed(0)
    inputs = {
        "narrow": fk.HeadInput(embed_dim=8, levels=(fk.Level(8, 4),)),
        "wide": fk.HeadInput(embed_dim=8, levels=(fk.Level(32, 4),)),
    }
    maps = BranchMaps(inputs, width=16)
    features = {
        "narrow": fk.Features(maps=(torch.randn(2, 8, 5, 5),)),
        "wide": fk.Features(maps=(torch.randn(2, 32, 5, 5),)),
    }
    narrow, wide = maps(features).values()
    assert narrow.square().sum().item() == pytest.approx(2 * 8 * 25, rel=1e-4)
    assert wide.square().mean().item() == pytest.approx(1, rel=0.2)


def test_the_most_channels_win():
    assert BranchMaps(make_inputs(3), width="widest").widths == (7, 7, 7)
    assert BranchMaps(make_inputs(3)).widths == (5, 7, 3)


def test_maps_may_keep_their_sizes():
    maps = BranchMaps(make_inputs(2), same_size=False)
    features = {
        "audio": fk.Features(maps=(torch.randn(2, 5, 3, 4),)),
        "image": fk.Features(maps=(torch.randn(2, 7, 6, 2),)),
    }
    assert [tuple(x.shape) for x in maps(features).values()] == [(2, 5, 3, 4), (2, 7, 6, 2)]
