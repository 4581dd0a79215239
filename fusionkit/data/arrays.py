"""Arrays and tensors as pictures: any number of channels, in a range that is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusionkit.errors import DataError
from fusionkit.tensors.read import read_tensors

__all__ = ["SLACK", "as_picture", "as_tensor", "read_array"]

SLACK = 0.1
"""How far floats may lie outside of [0, 1], as where a bicubic resize has overshot."""


def read_array(path: Path) -> Tensor:
    """Gives the array of a ``.npy`` file, or the one tensor of a ``.safetensors`` file.

    Raises:
        DataError: it cannot be read, or holds anything else.
    """
    if path.is_file() and not path.stat().st_size:
        raise DataError(f"{path} is empty: it has 0 bytes")
    try:
        if path.suffix.lower() == ".npy":
            import numpy as np

            return as_tensor(np.load(path, allow_pickle=False), str(path))
        tensors = read_tensors(path)
        if len(tensors) != 1:
            raise DataError(f"{path} holds {len(tensors)} tensors; a sample's file has one")
        return as_tensor(next(iter(tensors.values())), str(path))
    except DataError:
        raise
    except Exception as error:  # numpy's own, on damaged files, and what is no safetensors file
        raise DataError(f"cannot read {path}: {type(error).__name__}: {error}") from error


def as_tensor(value: Any, name: str) -> Tensor:
    """Gives a tensor of an array or tensor.

    Raises:
        DataError: it is neither, or of a kind that torch does not have.
    """
    if isinstance(value, Tensor):
        return value.detach()
    try:
        return torch.tensor(value) if not hasattr(value, "dtype") else torch.from_numpy(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{name} is no image, array or tensor: {error}") from error


def as_picture(value: Any, channels: int, name: str, max_pixels: int) -> Tensor:
    """Gives "c h w" (or a clip "c t h w") of uint8, or of float32 in [0, 1].

    16-bit whole numbers are scaled by 1 / 65535.

    Raises:
        DataError: it has another shape, other channels, too many pixels or another range.
    """
    images = as_tensor(value, name)
    if images.ndim == 2:
        images = images[None]
    shape = tuple(images.shape)
    if images.ndim not in (3, 4) or 0 in shape:
        raise DataError(f"{name} has the shape {shape}, where an image is 'c h w'")
    if shape[0] != channels:
        if shape[-1] == channels:
            raise DataError(
                f"{name} has the shape {shape}, with the channels last; write "
                "array.transpose(2, 0, 1) or tensor.permute(2, 0, 1)"
            )
        raise DataError(f"{name} has {shape[0]} channels in {shape}; the branch reads {channels}")
    if shape[-1] * shape[-2] > max_pixels:
        raise DataError(
            f"{name} has {shape[-1]} x {shape[-2]} pixels, more than the {max_pixels:,} allowed"
        )
    if images.dtype == torch.uint8:
        return images
    if images.dtype == torch.uint16:
        return images.to(torch.float32) / 65535
    if not images.is_floating_point():
        raise DataError(
            f"{name} is of {images.dtype}, where an image is uint8, uint16, or floats in [0, 1]"
        )
    low, high = (float(each) for each in torch.aminmax(images))
    if not (low >= -SLACK and high <= 1 + SLACK):
        raise DataError(
            f"{name} holds floats in [{low:.3g}, {high:.3g}], where a raw image is uint8 or floats "
            "in [0, 1]; it is normalised here, so give it as it was before"
        )
    return images.to(torch.float32)
