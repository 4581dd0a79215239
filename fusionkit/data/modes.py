"""From any of PIL's modes to grey or to red, green and blue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusionkit.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["to_channels"]

WANTED = {1: "L", 3: "RGB"}
DEEP = ("I;16", "I;16L", "I;16B", "I;16N")
MOST = 65535
"""The largest value of 16 bits."""


def to_channels(image: Image, channels: int, name: str) -> Image:
    """Gives an image of mode L for one channel and RGB for three.

    Transparency is dropped, as the providers' own loaders do. 16 bits become 8: 65535 is 255,
    rounded. Floats have to lie in [0, 1].

    Raises:
        DataError: no such image can be made of it.
    """
    wanted = WANTED.get(channels)
    if wanted is None:
        raise DataError(
            f"{name} is an image, and the branch reads {channels} channels; an image gives 1 or 3, "
            "anything else comes from .npy files or tensors 'c h w'"
        )
    if image.mode == wanted:
        return image
    if image.mode in DEEP or image.mode in ("I", "F"):
        image = _to_bytes(image, name)
    elif image.mode in ("P", "PA") and (image.mode == "PA" or "transparency" in image.info):
        image = image.convert("RGBA")  # PIL's own warning asks for this
    elif image.mode in ("LAB", "HSV", "La", "RGBa"):
        image = _by_steps(image)
    return image if image.mode == wanted else image.convert(wanted)


def _to_bytes(image: Image, name: str) -> Image:
    import numpy as np
    import PIL.Image

    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if image.mode == "F":
        if not (low >= 0 and high <= 1):
            raise DataError(f"{name} holds floats in [{low:.3g}, {high:.3g}]; scale them to [0, 1]")
        scaled = values.astype(np.float64) * 255
    else:
        if not (low >= 0 and high <= MOST):
            raise DataError(
                f"{name} holds whole numbers in [{low:.0f}, {high:.0f}], which are not 16 bits; "
                "scale them to [0, 1] in a .npy file"
            )
        scaled = values.astype(np.float64) * (255 / MOST)
    return PIL.Image.fromarray(np.rint(scaled).astype(np.uint8))


def _by_steps(image: Image) -> Image:
    """Gives an RGB or L image of a mode that PIL converts to them only by way of another."""
    if image.mode == "LAB":
        from PIL import ImageCms

        to_rgb = ImageCms.buildTransform(
            ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
        )
        converted = ImageCms.applyTransform(image, to_rgb)
        assert converted is not None
        return converted
    return image.convert({"HSV": "RGB", "La": "LA", "RGBa": "RGBA"}[image.mode])
