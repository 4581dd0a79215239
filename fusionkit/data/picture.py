"""What is done to pictures, the same on PIL's images and on tensors of any number of channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from fusionkit.preprocessing import Interpolation

if TYPE_CHECKING:
    from PIL.Image import Image

    from fusionkit.data.decoding import Picture

__all__ = ["crop", "mirror", "picture_size", "resize", "rotate", "to_pil", "to_tensor"]


def picture_size(picture: Picture) -> tuple[int, int]:
    """Gives height and width in pixels."""
    if isinstance(picture, Tensor):
        return picture.shape[-2], picture.shape[-1]
    return picture.size[1], picture.size[0]


def crop(picture: Picture, top: int, left: int, height: int, width: int) -> Picture:
    """Gives a part of the picture, which lies inside it; of a tensor a view."""
    if isinstance(picture, Tensor):
        return picture[..., top : top + height, left : left + width]
    if (top, left) == (0, 0) and (height, width) == picture_size(picture):
        return picture
    return picture.crop((left, top, left + width, top + height))


def mirror(picture: Picture, horizontally: bool, vertically: bool) -> Picture:
    """Gives the picture with left and right, or top and bottom, changed."""
    from PIL import Image

    if isinstance(picture, Tensor):
        return picture.flip([axis for axis, on in ((-1, horizontally), (-2, vertically)) if on])
    if horizontally:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if vertically:
        picture = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return picture


def resize(
    picture: Picture, size: tuple[int, int], interpolation: Interpolation, *, exact: bool = True
) -> Picture:
    """Gives the picture at (height, width), antialiased.

    Args:
        picture: of any size.
        size: in pixels.
        interpolation: how pixels are mixed.
        exact: whether as PIL does it, to the bit. If not, bytes are resized by torch, which rounds
            its weights more coarsely and takes a quarter of the time.
    """
    from PIL import Image

    if not exact and interpolation != "nearest" and (pixels := _bytes(picture)) is not None:
        resized = functional.interpolate(
            pixels[None], size=size, mode=interpolation, antialias=True
        )
        return resized[0]
    how = Image.Resampling[interpolation.upper()]
    return _on_images(picture, lambda image: image.resize((size[1], size[0]), how))


def rotate(picture: Picture, degrees: float) -> Picture:
    """Gives the picture turned counter-clockwise about its centre, black where it was outside."""
    from PIL import Image

    return _on_images(picture, lambda image: image.rotate(degrees, Image.Resampling.BILINEAR))


def to_tensor(picture: Picture) -> Tensor:
    """Gives "c h w", of which the memory may be that of "h w c"."""
    import numpy as np

    if isinstance(picture, Tensor):
        return picture
    pixels = torch.from_numpy(np.array(picture))
    return pixels.permute(2, 0, 1) if pixels.ndim == 3 else pixels[None]


def to_pil(picture: Picture) -> Image | None:
    """Gives PIL's image of three bytes a pixel, or ``None`` for any other kind of picture."""
    from PIL import Image

    if not isinstance(picture, Tensor):
        return picture if picture.mode == "RGB" else None
    if picture.dtype == torch.uint8 and picture.ndim == 3 and picture.shape[0] == 3:
        return Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
    return None


def _bytes(picture: Picture) -> Tensor | None:
    """Gives "c h w" of uint8, or ``None`` for a picture of another kind."""
    pixels = to_tensor(picture)
    return pixels if pixels.dtype == torch.uint8 and pixels.ndim == 3 else None


def _on_images(picture: Picture, do: Callable[[Image], Image]) -> Picture:
    from PIL import Image

    if not isinstance(picture, Tensor):
        return do(picture)
    if (image := to_pil(picture)) is not None:
        return to_tensor(do(image))
    # PIL works on each channel by itself, so that planes one by one are what it would do.
    planes = picture.flatten(0, -3).contiguous().numpy()
    done = torch.cat([to_tensor(do(Image.fromarray(plane))) for plane in planes])
    return done.reshape(*picture.shape[:-2], *done.shape[-2:])
