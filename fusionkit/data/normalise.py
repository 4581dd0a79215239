"""``Normalise``: the last step of a preparation, taken on whole batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fusionkit.data.preparation import Preparation, preparations_of
from fusionkit.errors import DataError
from fusionkit.preprocessing import Preprocessing

__all__ = ["Normalise"]

CHECKED_BATCHES = 8
SLACK = 0.1
"""How far a bicubic resize before the model may overshoot [0, 1]."""


class Normalise:
    """Makes of a batch's bytes what each branch was trained on, on the device where they are.

    The bits are those of ``Preprocessing.transform``: the same operations on the same numbers.
    Branches that share pixels, mean and std share one tensor. What is no image, and the images of
    a model that prepares them inside, are handed on.

    Args:
        model: a ``FusedModel``, or a mapping of ``Preparation`` or ``Preprocessing`` by branch.
    """

    def __init__(self, model: Any) -> None:
        self._preparations = preparations_of(model)
        self._constants: dict[tuple[Preprocessing, torch.device], tuple[Tensor, ...]] = {}
        self._to_check = CHECKED_BATCHES

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Gives the model's inputs by branch: "b c h w" of float32 where they are images.

        Raises:
            DataError: an input is no raw image.
        """
        done: dict[tuple[int, tuple[float, ...], tuple[float, ...]], Tensor] = {}
        normalised: dict[str, Any] = {}
        for name, images in inputs.items():
            preparation = self._preparations.get(name)
            if preparation is None or preparation.preprocessing is None or preparation.inside:
                normalised[name] = images
                continue
            about = preparation.preprocessing
            key = (id(images), about.mean, about.std)
            if key not in done:
                self._check(name, preparation, images)
                done[key] = self._normalise(images, about)
            normalised[name] = done[key]
        self._to_check = max(0, self._to_check - 1)
        return normalised

    def _normalise(self, images: Tensor, about: Preprocessing) -> Tensor:
        most, mean, std = self._on(images.device, about)
        if images.ndim == 5:
            mean, std = mean[:, None], std[:, None]
        out = torch.empty_like(images, dtype=torch.float32, memory_format=torch.contiguous_format)
        # On a CPU image by image, so that all four steps find it in the cache.
        parts = zip(out, images, strict=True) if out.device.type == "cpu" else [(out, images)]
        for place, image in parts:
            place.copy_(image)
            if images.dtype == torch.uint8:
                place.div_(most)
            place.sub_(mean).div_(std)
        return out

    def _on(self, device: torch.device, about: Preprocessing) -> tuple[Tensor, ...]:
        if (about, device) not in self._constants:
            # 255 as a tensor: by a Python number CUDA multiplies with its inverse, to other bits.
            self._constants[about, device] = (
                torch.tensor(255.0, device=device),
                torch.tensor(about.mean, device=device)[:, None, None],
                torch.tensor(about.std, device=device)[:, None, None],
            )
        return self._constants[about, device]

    def _check(self, name: str, preparation: Preparation, images: object) -> None:
        channels = preparation.channels
        if not isinstance(images, Tensor) or images.ndim not in (4, 5):
            shape = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise DataError(f"branch {name!r} takes raw images 'b c h w', got {shape}")
        if images.shape[1] != channels:
            raise DataError(
                f"branch {name!r} takes {channels} channels, got {images.shape[1]} in shape "
                f"{tuple(images.shape)}"
            )
        if images.dtype == torch.uint8 or not self._to_check or not images.numel():
            return
        low, high = (float(value) for value in torch.aminmax(images))
        if not images.is_floating_point() or not (low >= -SLACK and high <= 1 + SLACK):
            raise DataError(
                f"branch {name!r} takes raw images as uint8 or floats in [0, 1], got "
                f"{images.dtype} in [{low:.3g}, {high:.3g}]; they are normalised here, so give "
                "them as they were before"
            )
