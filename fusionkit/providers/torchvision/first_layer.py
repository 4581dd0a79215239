"""The first layer of a trunk, for inputs with other than three channels."""

from __future__ import annotations

import torch
from torch import nn

from fusionkit import adapt_input_channels

__all__ = ["find_first_layer", "replace_first_layer"]


def find_first_layer(trunk: nn.Module) -> str:
    """Gives the path of the convolution that reads red, green and blue."""
    path: str
    for path, module in trunk.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d)) and module.in_channels == 3:
            return path
    raise AssertionError(f"{type(trunk).__name__} has no convolution of three channels")


def replace_first_layer(trunk: nn.Module, path: str, channels: int, *, pretrained: bool) -> None:
    """Makes the first layer, at ``path``, read ``channels`` channels, all else as it was.

    Pretrained weights are adapted as ``fusionkit.adapt_input_channels`` says. Random ones are
    drawn anew with the same spread, so that no two channels begin alike.
    """
    old = trunk.get_submodule(path)
    assert isinstance(old, (nn.Conv2d, nn.Conv3d))
    new = type(old)(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        old.dilation,  # type: ignore[arg-type]
        old.groups,
        old.bias is not None,
        old.padding_mode,
        device=old.weight.device,
        dtype=old.weight.dtype,
    )
    with torch.no_grad():
        if pretrained:
            new.weight.copy_(adapt_input_channels(old.weight, channels))
        elif not old.weight.is_meta:
            nn.init.normal_(new.weight, std=old.weight.std().item())
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    trunk.set_submodule(path, new)
