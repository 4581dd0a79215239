"""Resizes, crops and normalises inside the model, as each branch was trained."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from fusionkit.backbone.contract import Backbone
from fusionkit.errors import AssemblyError, DataError
from fusionkit.preprocessing import Preprocessing

__all__ = ["Prepare", "preparations"]

CHECKED_BATCHES = 8
SLACK = 0.1
"""How far a bicubic resize before the model may overshoot [0, 1]."""

NEAREST = "nearest-exact"
"""PIL's and torchvision's nearest neighbour; torch's "nearest" is off by half a pixel."""


def preparations(backbones: Mapping[str, Backbone]) -> nn.ModuleDict:
    """Gives what prepares each branch's input, by branch, of those that take images.

    Raises:
        AssemblyError: it is not known how a branch's inputs were prepared.
    """
    prepare = nn.ModuleDict()
    for name, backbone in backbones.items():
        if not backbone.takes_images:
            continue
        if backbone.preprocessing is None:
            raise AssemblyError(
                f"branch {name!r}: it is not known how its inputs are prepared; give "
                "Branch(preprocessing=...) or compose with preprocess='outside'"
            )
        prepare[name] = Prepare(backbone.preprocessing.for_channels(backbone.in_channels))
    return prepare


class Prepare(nn.Module):
    """Turns raw images "b c h w" (or clips "b c t h w") into what one branch was trained on.

    They are uint8, or floats in [0, 1]. The range of the first batches is looked at, since
    images in 0 to 255 as floats would pass without an error and be misread. Under
    ``torch.compile`` and export nothing is looked at.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        shape = (1, -1, 1, 1)
        mean = torch.tensor(preprocessing.mean).view(shape)
        std = torch.tensor(preprocessing.std).view(shape)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self._to_check = CHECKED_BATCHES

    def forward(self, images: Tensor) -> Tensor:
        """Gives "b c height width" (or "b c t height width") of the size that the branch takes.

        Raises:
            DataError: they are no images, have other channels, or are not raw.
        """
        self._check(images)
        if images.ndim == 5:
            frames = rearrange(images, "b c t h w -> (b t) c h w")
            return rearrange(self._prepare(frames), "(b t) c h w -> b c t h w", b=len(images))
        return self._prepare(images)

    def _prepare(self, images: Tensor) -> Tensor:
        if images.dtype == torch.uint8:
            images = images.float() / 255
        images = self._crop(self._resize(images))
        return (images.to(self.mean.dtype) - self.mean) / self.std

    def _check(self, images: Tensor) -> None:
        if not isinstance(images, Tensor):
            raise DataError(f"takes raw images 'b c h w', got {type(images).__name__}")
        if images.ndim not in (4, 5):
            raise DataError(f"takes raw images 'b c h w', got shape {tuple(images.shape)}")
        channels = self.mean.shape[1]
        if images.shape[1] != channels:
            raise DataError(
                f"takes {channels} channels, got {images.shape[1]} in shape {tuple(images.shape)}"
            )
        if images.dtype == torch.uint8:
            return
        if not images.is_floating_point():
            raise DataError(f"takes raw images as uint8 or floats in [0, 1], got {images.dtype}")
        if not torch.compiler.is_compiling() and self._to_check and images.numel():
            self._check_range(images)

    def _check_range(self, images: Tensor) -> None:
        self._to_check -= 1
        low, high = (float(value) for value in torch.aminmax(images.detach()))
        if not (low >= -SLACK and high <= 1 + SLACK):
            raise DataError(
                f"takes raw images as uint8 or floats in [0, 1], got {images.dtype} in "
                f"[{low:.3g}, {high:.3g}]; this model prepares its inputs itself, so give it "
                "images that are not yet normalised"
            )

    def _resize(self, images: Tensor) -> Tensor:
        target = self.preprocessing.resize or self.preprocessing.size
        height, width = images.shape[-2:]
        if isinstance(target, int):
            short, long = min(height, width), max(height, width)
            length = int(target * long / short)
            target = (target, length) if height <= width else (length, target)
        if (height, width) == tuple(target):
            return images
        mode = self.preprocessing.interpolation
        if mode == "nearest":
            return functional.interpolate(images, size=target, mode=NEAREST)
        resized = functional.interpolate(
            images, size=target, mode=mode, align_corners=False, antialias=True
        )
        return resized.clamp(0, 1) if mode == "bicubic" else resized

    def _crop(self, images: Tensor) -> Tensor:
        height, width = self.preprocessing.size
        rows, columns = images.shape[-2] - height, images.shape[-1] - width
        if rows < 0 or columns < 0:
            sides = [max(0, -columns), max(0, -rows)]
            images = functional.pad(images, [part for side in sides for part in _halves(side)])
            rows, columns = max(rows, 0), max(columns, 0)
        top, left = round(rows / 2), round(columns / 2)
        return images[..., top : top + height, left : left + width]


def _halves(length: int) -> tuple[int, int]:
    return length // 2, (length + 1) // 2
