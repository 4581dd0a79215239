"""Resizes, crops and normalises inside the model, as each branch was trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusionkit.errors import DataError
from fusionkit.preprocessing import Preprocessing

__all__ = ["Prepare"]

CHECKED_BATCHES = 8


class Prepare(nn.Module):
    """Turns raw images "b c h w", uint8 or in [0, 1], into what one branch was trained on.

    The range of the first batches is looked at, since images in 0 to 255 as floats would pass
    without an error and be misread. Under ``torch.compile`` and export nothing is looked at.
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
        """Gives "b c height width" of the size that the branch takes."""
        if images.dtype == torch.uint8:
            images = images.to(self.mean.dtype) / 255
        elif self._to_check and not torch.compiler.is_compiling():
            self._check_range(images)
        images = self._crop(self._resize(images))
        return (images - self.mean) / self.std

    def _check_range(self, images: Tensor) -> None:
        self._to_check -= 1
        low, high = (float(value) for value in torch.aminmax(images.detach()))
        if not (low >= 0 and high <= 1):
            raise DataError(
                f"raw images must be uint8 or floats in [0, 1], got {images.dtype} in "
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
            return functional.interpolate(images, size=target, mode=mode)
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
