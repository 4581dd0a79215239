"""``MapPool``: one vector of a map, for a classifier."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fusionkit.heads.parts.options import check_width

__all__ = ["MapPool", "rectified_conv"]


@final
class MapPool(nn.Module):
    """Gives one vector "b d" of maps "b c h w": the mean over all places.

    Args:
        channels: c.
        hidden: the channels d of a 3x3 convolution with ReLU before the mean; ``None`` leaves
            it out, and then nothing tells places apart.

    Attributes:
        width: d.
    """

    def __init__(self, channels: int, hidden: object = None) -> None:
        super().__init__()
        self.width = channels if hidden is None else check_width("hidden", hidden)
        self.conv = None if hidden is None else rectified_conv(channels, self.width)

    def forward(self, x: Tensor) -> Tensor:
        """Gives "b d"."""
        if self.conv is not None:
            x = F.relu(self.conv(x))
        return x.mean((-2, -1))


def rectified_conv(channels: int, width: int) -> nn.Conv2d:
    """Gives a 3x3 convolution with a border of zeros, to be followed by a ReLU."""
    conv = nn.Conv2d(channels, width, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
