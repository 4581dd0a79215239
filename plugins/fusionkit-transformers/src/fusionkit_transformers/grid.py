"""From what a layer gives, tokens or maps in any layout, to maps "b c h w"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from einops import rearrange
from torch import Tensor

from fusionkit import AssemblyError

__all__ = ["Grid", "find_grid"]

STRIDES = (1, 2, 4, 7, 8, 12, 14, 16, 20, 24, 28, 30, 32, 40, 48, 56, 64, 128)


@dataclass(frozen=True, slots=True)
class Grid:
    """How a layer's output lies over the image.

    Attributes:
        channels: its width.
        stride: input pixels per position.
        prefix: how many tokens before the positions stand for no place (class, registers).
        layout: of the output.
    """

    channels: int
    stride: int
    prefix: int = 0
    layout: Literal["tokens", "channels first", "channels last"] = "tokens"

    def turn(self, output: Tensor, size: tuple[int, int]) -> Tensor:
        """Gives "b c h w" of what the layer gave for images of ``size``.

        Raises:
            AssemblyError: there are not as many positions as the size says.
        """
        if self.layout == "channels first":
            return output
        if self.layout == "channels last":
            return rearrange(output, "b h w c -> b c h w")
        count = output.shape[1] - self.prefix
        floor = size[0] // self.stride, size[1] // self.stride
        ceil = -(-size[0] // self.stride), -(-size[1] // self.stride)
        for height, width in (floor, ceil):
            if height * width == count:
                return rearrange(output[:, self.prefix :], "b (h w) c -> b c h w", h=height)
        raise AssemblyError(
            f"{count} tokens do not lie on a grid of stride {self.stride} over an image of "
            f"{size[0]} x {size[1]} pixels"
        )


def find_grid(
    shape: tuple[int, ...], size: tuple[int, int], patch: int | None, is_flat: bool
) -> Grid | None:
    """Gives the grid of an output, or ``None`` where it lies on none.

    Args:
        shape: of the output.
        size: of the image in pixels.
        patch: the stride that the model declares, if it does.
        is_flat: whether all layers have that stride, so that tokens may begin with others.
    """
    if len(shape) == 4:
        return _find_map(shape, size)
    if len(shape) != 3:
        return None
    # a stride that divides the image first, since others may give as many positions
    inexact = sorted(STRIDES, key=lambda stride: any(side % stride for side in size))
    for stride in (patch,) if patch and is_flat else inexact:
        counts = [(size[0] // stride) * (size[1] // stride)]
        counts.append(-(-size[0] // stride) * -(-size[1] // stride))
        for count in counts:
            prefix = shape[1] - count
            if count and (prefix == 0 or (is_flat and 0 < prefix < 64 and stride == patch)):
                return Grid(shape[2], stride, prefix)
    return None


def _find_map(shape: tuple[int, ...], size: tuple[int, int]) -> Grid | None:
    for layout, (height, width, channels) in (
        ("channels first", (shape[2], shape[3], shape[1])),
        ("channels last", (shape[1], shape[2], shape[3])),
    ):
        if not height or not width or height > size[0] or width > size[1]:
            continue
        stride = min(STRIDES, key=lambda stride: abs(stride * height / size[0] - 1))
        if abs(stride * height / size[0] - 1) > 0.3 or abs(stride * width / size[1] - 1) > 0.3:
            continue
        if layout == "channels first" and shape[1] == shape[2] != shape[3]:
            continue
        return Grid(channels, stride, 0, layout)  # type: ignore[arg-type]
    return None
