"""``Normalise``: the last step of a preparation, taken on whole batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fusionkit.data.arrays import SLACK
from fusionkit.data.batch import once
from fusionkit.data.preparation import Preparation, preparations_of
from fusionkit.errors import DataError
from fusionkit.tensors.layout import channels_last

__all__ = ["Normalise"]

CHECKED_BATCHES = 8
Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and std."""


class Normalise:
    """Makes of a batch's bytes what each branch was trained on, on the device where they are.

    The bits are those of ``Preprocessing.transform``: the same operations on the same numbers.
    Branches that share pixels, mean and std share one tensor. What is no image, and the images of
    a model that prepares them inside, are handed on.

    Args:
        model: a ``FusedModel``, or a mapping of ``Preparation`` or ``Preprocessing`` by branch.
        channels_last: whether what is "b c h w" is laid out with its channels last.
    """

    def __init__(self, model: Any, *, channels_last: bool = False) -> None:
        self._channels_last = channels_last
        self._preparations = preparations_of(model)
        self._constants: dict[tuple[tuple[float, ...], torch.device], Tensor] = {}
        # Kept until the next one is there: a system that gets all memory back at once has to clear
        # it again for each batch, which takes longer than to normalise it.
        self._last: dict[str, Any] = {}
        self._to_check = CHECKED_BATCHES

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Gives the model's inputs by branch: "b c h w" of float32 where they are images.

        Raises:
            DataError: an input is no raw image.
        """
        normalised: dict[str, Any] = {}
        # By tensor, then by mean and std, the branches that read it so.
        shared: dict[int, dict[Statistics, list[str]]] = {}
        for name, images in inputs.items():
            preparation = self._preparations.get(name)
            if preparation is None or preparation.preprocessing is None or preparation.inside:
                normalised[name] = images
                continue
            self._check(name, preparation, images)
            about = preparation.preprocessing
            wanted = shared.setdefault(id(images), {})
            wanted.setdefault((about.mean, about.std), []).append(name)
        for readers in shared.values():
            images = inputs[next(iter(readers.values()))[0]]
            for result, names in zip(
                self._each(images, list(readers)), readers.values(), strict=True
            ):
                normalised.update(dict.fromkeys(names, result))
        self._to_check = max(0, self._to_check - 1)
        self._last = normalised
        if self._channels_last:
            lay = once(channels_last)
            normalised = {
                name: lay(value) if isinstance(value, Tensor) else value
                for name, value in normalised.items()
            }
        return {name: normalised[name] for name in inputs}

    def _each(self, images: Tensor, wanted: Sequence[Statistics]) -> list[Tensor]:
        """Gives the images normalised in each of the ways wanted."""
        shape = (-1, *(1,) * (images.ndim - 2))
        ways = [
            tuple(self._constant(each, images.device).view(shape) for each in way) for way in wanted
        ]
        most = self._constant((255.0,), images.device)
        results = [torch.empty(images.shape, device=images.device) for _ in wanted]
        # On a CPU image by image, so that every step finds it in the cache.
        on_cpu = images.device.type == "cpu"
        for part in range(len(images)) if on_cpu else [slice(None)]:
            scaled = images[part].to(torch.float32)
            if images.dtype == torch.uint8:
                scaled.div_(most)
            for result, (mean, std) in zip(results, ways, strict=True):
                torch.sub(scaled, mean, out=result[part]).div_(std)
        return results

    def _constant(self, values: tuple[float, ...], device: torch.device) -> Tensor:
        # 255 as a tensor too: by a Python number CUDA multiplies with its inverse, to other bits.
        if (values, device) not in self._constants:
            self._constants[values, device] = torch.tensor(values, device=device)
        return self._constants[values, device]

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
