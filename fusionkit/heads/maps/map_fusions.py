"""Sum, max, concatenation and convolution of maps (Feichtenhofer et al., arXiv:1604.06573)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import final

import torch
from torch import Tensor, nn

from fusionkit.heads.parts.maps import draw_orthogonal

__all__ = ["ConcatFusion", "ConvFusion", "MaxFusion", "SumFusion"]


@final
class SumFusion(nn.Module):
    """Gives Σ x_i, "b c h w", of maps that all have c channels."""

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Gives "b c h w" from one per stream."""
        return reduce(torch.add, maps)


@final
class MaxFusion(nn.Module):
    """Gives max_i x_i in each place and channel, "b c h w", of maps that all have c channels."""

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Gives "b c h w" from one per stream."""
        return torch.stack(list(maps)).amax(0)


@final
class ConcatFusion(nn.Module):
    """Gives [x_1; ...; x_N] along the channels, "b (c_1 + ... + c_N) h w"."""

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Gives "b (c_1 + ... + c_N) h w"."""
        return torch.cat(list(maps), dim=1)


@final
class ConvFusion(nn.Module):
    """Gives a 1x1 convolution of the concatenated maps, "b width h w".

    It starts as the paper's, with an identity for each stream, and so as the sum; a stream with
    another number of channels starts as a rotation into ``width`` of them.

    Args:
        channels: c_i of each stream.
        width: the channels of the result.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(sum(channels), width, 1)
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)
        with torch.no_grad():
            for block in torch.split(self.conv.weight[:, :, 0, 0], list(channels), dim=1):
                if block.shape[1] == width:
                    block.copy_(nn.init.eye_(torch.empty(block.shape)))
                else:
                    draw_orthogonal(block)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Gives "b width h w"."""
        fused: Tensor = self.conv(torch.cat(list(maps), dim=1))
        return fused
