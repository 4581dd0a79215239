"""How a backbone's inputs were prepared when its weights were trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from fusionkit.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Interpolation", "Preprocessing"]

Interpolation = Literal["nearest", "bilinear", "bicubic"]


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
        if len(self.mean) != len(self.std):
            raise ConfigError(
                f"preprocessing has {len(self.mean)} means but {len(self.std)} standard "
                "deviations: give one of each per channel"
            )
        if any(value <= 0 for value in self.std):
            raise ConfigError(f"preprocessing std must be positive, got {self.std}")
        if min(self.size) < 1:
            raise ConfigError(f"preprocessing size must be at least one pixel, got {self.size}")

    def for_channels(self, channels: int) -> Preprocessing:
        """Gives the same preparation for another channel count.

        A count other than the trained one has no statistics of its own, so each channel gets
        the average of the trained ones.
        """
        if channels == len(self.mean):
            return self
        mean = sum(self.mean) / len(self.mean)
        std = sum(self.std) / len(self.std)
        return Preprocessing(
            size=self.size,
            mean=(mean,) * channels,
            std=(std,) * channels,
            interpolation=self.interpolation,
            resize=self.resize,
            frames=self.frames,
        )

    def transform(self) -> Callable[[Image], Tensor]:
        """Gives a function from a PIL image to the network's input, "c h w".

        It does what the provider's own evaluation transform does: resize the shorter side,
        crop the centre, scale to [0, 1], normalise. Needs torchvision.
        """
        from torchvision.transforms import v2

        import torch

        resize = self.resize if self.resize is not None else self.size
        resize_to = [resize] if isinstance(resize, int) else list(resize)
        pipeline: Callable[[Image], Tensor] = v2.Compose(
            [
                v2.Resize(resize_to, interpolation=v2.InterpolationMode(self.interpolation)),
                v2.CenterCrop(list(self.size)),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(list(self.mean), list(self.std)),
            ]
        )
        return pipeline
