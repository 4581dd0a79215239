"""First layers for inputs with other than three channels."""

from __future__ import annotations

from torch import Tensor

from fusionkit.errors import ConfigError

__all__ = ["adapt_input_channels"]


def adapt_input_channels(weight: Tensor, channels: int) -> Tensor:
    """Gives a pretrained first layer "o 3 ..." for ``channels`` input channels, "o channels ...".

    One channel gets the sum over red, green and blue, which on a grey image is exactly what the
    pretrained layer computes on three equal channels. Any other count gets the mean over red,
    green and blue in every channel, as for optical flow in Wang et al., Temporal Segment
    Networks (arXiv:1608.00859).

    Raises:
        ConfigError: there is no channel to adapt from or to.
    """
    if channels < 1 or weight.ndim < 2:
        raise ConfigError(
            f"cannot adapt a weight of shape {tuple(weight.shape)} to {channels} input channels"
        )
    if channels == weight.shape[1]:
        return weight
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    repeats = [1, channels] + [1] * (weight.ndim - 2)
    return weight.mean(dim=1, keepdim=True).repeat(*repeats)
