"""How a backbone's inputs were prepared when its weights were trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from fusionkit.errors import ConfigError
from fusionkit.numbers import is_count, is_number

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Interpolation", "Preprocessing"]

Interpolation = Literal["nearest", "bilinear", "bicubic"]

INTERPOLATIONS: tuple[Interpolation, ...] = ("nearest", "bilinear", "bicubic")


MAX_MEAN = 2.0
"""More than any image scaled to [0, 1] can have, even where it goes beyond 1 a little."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Resize, crop and normalise, as the weights' own description gives them.

    Attributes:
        size: (height, width) in pixels of what the network is given, after the crop.
        mean: one value per channel, in units of an image scaled to [0, 1].
        std: one value per channel, in the same units.
        interpolation: of the resize; always antialiased.
        resize: the length in pixels that the shorter side is resized to before the centre
            crop, or the exact (height, width); ``None`` resizes straight to ``size``.
        frames: how many frames a video network was trained on; ``None`` for images.
    """

    size: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: Interpolation = "bilinear"
    resize: int | tuple[int, int] | None = None
    frames: int | None = None

    def __post_init__(self) -> None:
        for field in ("size", "mean", "std", "resize"):
            if isinstance(getattr(self, field), list):
                object.__setattr__(self, field, tuple(getattr(self, field)))
        if not _are_pixels(self.size):
            raise ConfigError(
                f"preprocessing size must be (height, width) in whole pixels, got {self.size!r:.80}"
            )
        if self.resize is not None and not (is_count(self.resize) or _are_pixels(self.resize)):
            raise ConfigError(
                "preprocessing resize must be the shorter side or (height, width) in whole pixels, "
                f"or None; got {self.resize!r:.80}"
            )
        for field in ("mean", "std"):
            if not _are_finite(getattr(self, field)):
                raise ConfigError(
                    f"preprocessing {field} must be one finite number per channel, "
                    f"got {getattr(self, field)!r:.80}"
                )
        if any(value > MAX_MEAN for value in self.mean):
            raise ConfigError(
                "preprocessing mean must be in units of an image scaled to [0, 1]; divide by 255: "
                f"got {self.mean!r:.80}"
            )
        if len(self.mean) != len(self.std):
            raise ConfigError(
                f"preprocessing has {len(self.mean)} means but {len(self.std)} standard "
                "deviations: give one of each per channel"
            )
        if any(value <= 0 for value in self.std):
            raise ConfigError(f"preprocessing std must be positive, got {self.std}")
        if self.interpolation not in INTERPOLATIONS:
            raise ConfigError(
                f"preprocessing interpolation is one of {INTERPOLATIONS}, "
                f"got {self.interpolation!r:.80}"
            )
        if self.frames is not None and not is_count(self.frames):
            raise ConfigError(f"preprocessing frames must be at least 1, got {self.frames!r:.80}")

    def for_channels(self, channels: int) -> Preprocessing:
        """Gives the same preparation for another channel count.

        A count other than the trained one has no statistics of its own, so each channel gets
        the average of the trained ones.
        """
        if not is_count(channels):
            raise ConfigError(f"a number of channels is at least 1, got {channels!r:.80}")
        if channels == len(self.mean):
            return self
        mean = sum(self.mean) / len(self.mean)
        std = sum(self.std) / len(self.std)
        return replace(self, mean=(mean,) * channels, std=(std,) * channels)

    def transform(self) -> Callable[[Image], Tensor]:
        """Gives a function from a PIL image to the network's input, "c h w".

        It does what the provider's own evaluation transform does: resize the shorter side,
        crop the centre, scale to [0, 1], normalise. Needs torchvision.
        """
        import torch
        from torchvision import transforms

        # The first version of these transforms: the second one scales to other bits than both
        # providers' own, which divide by 255.
        resize = self.resize if self.resize is not None else self.size
        resize_to = [resize] if isinstance(resize, int) else list(resize)
        pipeline: Callable[[Image], Tensor] = transforms.Compose(
            [
                transforms.Resize(
                    resize_to, interpolation=transforms.InterpolationMode(self.interpolation)
                ),
                transforms.CenterCrop(list(self.size)),
                transforms.PILToTensor(),
                transforms.ConvertImageDtype(torch.float32),
                transforms.Normalize(list(self.mean), list(self.std)),
            ]
        )
        return pipeline


def _are_pixels(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(is_count, value))


def _are_finite(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) > 0
        and all(is_number(item) and abs(item) < 1e9 for item in value)
    )
