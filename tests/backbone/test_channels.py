"""First layers for other channel counts."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import fusionkit as fk

SHAPES = [(4, 3), (4, 3, 5, 5), (4, 3, 2, 5, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_count_is_the_same_weight(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape)
    assert fk.adapt_input_channels(weight, 3) is weight


@pytest.mark.parametrize("shape", SHAPES)
def test_one_channel_is_the_sum(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape)
    adapted = fk.adapt_input_channels(weight, 1)
    assert adapted.shape == (shape[0], 1, *shape[2:])
    assert torch.equal(adapted[:, 0], weight.sum(1))


@pytest.mark.parametrize("channels", [2, 4, 20])
@pytest.mark.parametrize("shape", SHAPES)
def test_more_channels_are_the_mean(shape: tuple[int, ...], channels: int) -> None:
    weight = torch.randn(shape)
    adapted = fk.adapt_input_channels(weight, channels)
    assert adapted.shape == (shape[0], channels, *shape[2:])
    assert adapted.is_contiguous()
    for channel in range(channels):
        assert torch.equal(adapted[:, channel], weight.mean(1))


def test_a_grey_image_gives_what_three_equal_channels_gave() -> None:
    weight, grey = torch.randn(4, 3, 3, 3).double(), torch.randn(2, 1, 8, 8).double()
    ours = F.conv2d(grey, fk.adapt_input_channels(weight, 1))
    assert torch.allclose(ours, F.conv2d(grey.expand(2, 3, 8, 8), weight))


def test_a_grey_clip_gives_what_three_equal_channels_gave() -> None:
    weight, grey = torch.randn(4, 3, 2, 3, 3).double(), torch.randn(2, 1, 4, 8, 8).double()
    ours = F.conv3d(grey, fk.adapt_input_channels(weight, 1))
    assert torch.allclose(ours, F.conv3d(grey.expand(2, 3, 4, 8, 8), weight))


@pytest.mark.parametrize(("shape", "channels"), [((4, 3, 3, 3), 0), ((4, 3), -1), ((4,), 2)])
def test_nothing_to_adapt(shape: tuple[int, ...], channels: int) -> None:
    with pytest.raises(fk.ConfigError, match=r"cannot adapt a weight of shape .* input channels"):
        fk.adapt_input_channels(torch.randn(shape), channels)
