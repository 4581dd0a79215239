"""``MultiScaleChannelAttention``: what attentional feature fusion decides by."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from fusionkit import AssemblyError, DataError
from fusionkit.heads.parts.options import check_choice

__all__ = ["MultiScaleChannelAttention"]


@final
class MultiScaleChannelAttention(nn.Module):
    """MS-CAM: logits "b d h w" from maps "b c h w", of each place and of the whole (2009.14082).

    Gives L(x) + G(mean of x over all places), where L and G are each a 1x1 convolution, a norm,
    a ReLU, a second 1x1 convolution and a norm. The sigmoid is left to the caller.

    Args:
        channels: c.
        out: d.
        reduction: the first convolutions give c divided by this many channels.
        norm: ``"batch"`` as in the paper; ``"layer"`` over all channels and places of a sample;
            ``"none"``.
    """

    def __init__(self, channels: int, out: int, *, reduction: int, norm: object) -> None:
        super().__init__()
        kind = check_choice("attention_norm", norm, ("layer", "batch", "none"))
        if kind == "layer" and out == 1:
            raise AssemblyError(
                "attention_norm='layer' would make a single channel constant; write a width of 2 "
                "or more, or attention_norm='batch' or 'none'"
            )
        self.needs_batch = kind == "batch"
        narrow = max(channels // reduction, 2)
        self.local = _make_path(channels, narrow, out, kind)
        self.whole = _make_path(channels, narrow, out, kind)

    def forward(self, x: Tensor) -> Tensor:
        """Gives "b d h w"; in training with batch norm, a single sample is a ``DataError``."""
        if self.needs_batch and self.training and x.shape[0] == 1:
            raise DataError(
                "attention_norm='batch' needs the statistics of a batch, and this one is a "
                "single sample; train with larger batches (drop_last=True leaves an odd last "
                "one out), or write attention_norm='layer'"
            )
        logits: Tensor = self.local(x) + self.whole(x.mean((-2, -1), keepdim=True))
        return logits


def _make_path(channels: int, narrow: int, out: int, norm: str) -> nn.Sequential:
    def make_norm(width: int) -> nn.Module:
        if norm == "batch":
            return nn.BatchNorm2d(width)
        return nn.GroupNorm(1, width) if norm == "layer" else nn.Identity()

    def make_conv(before: int, after: int) -> nn.Conv2d:
        return nn.Conv2d(before, after, 1, bias=norm != "batch")  # batch norm would undo it

    return nn.Sequential(
        make_conv(channels, narrow),
        make_norm(narrow),
        nn.ReLU(),
        make_conv(narrow, out),
        make_norm(out),
    )
