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


class Summed(torch.nn.Module):
    """The maps of a branch of stride 16 and one of stride 8, added up."""

    def __init__(self):
        super().__init__()
        levels = {"coarse": (fk.Level(4, 16),), "fine": (fk.Level(4, 8),)}
        self.maps = BranchMaps({name: fk.HeadInput(8, each) for name, each in levels.items()})

    def forward(self, coarse, fine):
        features = {"coarse": fk.Features(maps=(coarse,)), "fine": fk.Features(maps=(fine,))}
        return sum(self.maps(features).values())


@pytest.mark.parametrize(
    ("coarse", "fine", "size"),
    [((5, 6), (10, 12), (10, 12)), ((32, 32), (8, 8), (32, 32)), ((4, 9), (5, 7), (4, 9))],
)
def test_the_finest_is_the_one_with_the_most_places(coarse, fine, size):
    """A branch of stride 16 has more at 512 pixels than one of stride 8 at 64."""
    summed = Summed()(torch.randn(2, 4, *coarse), torch.randn(2, 4, *fine))
    assert summed.shape == (2, 4, *size)


def test_of_equal_sizes_none_is_resized():
    x = torch.randn(2, 4, 5, 6)
    assert torch.equal(Summed()(x, x), sum([Summed().maps.blocks["coarse"](x)] * 2))


def test_sizes_may_change_after_compiling():
    torch._dynamo.reset()
    compiled = torch.compile(Summed(), fullgraph=True, backend="eager", dynamic=True)
    for coarse, fine in [((5, 6), (10, 12)), ((7, 4), (6, 8)), ((9, 9), (2, 3))]:
        given = torch.randn(2, 4, *coarse), torch.randn(2, 4, *fine)
        assert torch.equal(compiled(*given), Summed()(*given))
