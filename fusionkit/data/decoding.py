"""From a file, bytes, an image or an array to one picture of the channels that a branch reads."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import Tensor

from fusionkit.data.arrays import as_picture, read_array
from fusionkit.data.modes import to_channels
from fusionkit.data.picture import picture_size
from fusionkit.data.sample import Encoded
from fusionkit.data.walk import ARRAYS
from fusionkit.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MAX_PIXELS", "Picture", "decode", "measure_picture"]

MAX_PIXELS = 50_000_000
"""Of one image; more are refused before a byte of them is decoded."""

Picture: TypeAlias = "Image | Tensor"
"""An image of PIL in mode L or RGB, or a tensor "c h w" of uint8 or of floats in [0, 1]."""

ORIENTATION = 0x0112
LYING = (5, 6, 7, 8)
"""The orientations that exchange height and width."""


def decode(source: Any, channels: int = 3, max_pixels: int = MAX_PIXELS) -> Picture:
    """Gives a picture of ``channels`` channels, upright, with the pixels that PIL decodes.

    Three channels are red, green and blue, and one is grey, whatever the file holds; transparency
    is dropped and 16 bits are scaled to 8. Other channel counts come from arrays, as they are.

    Args:
        source: a path, ``Encoded``, a PIL image, or an array or tensor "c h w" of uint8 or of
            floats in [0, 1].
        channels: of the picture.
        max_pixels: how many an image may have; it is looked at before anything is decoded.

    Raises:
        DataError: it is missing, empty, damaged, truncated or too large, or no image of so many
            channels can be made of it.
    """
    if isinstance(source, Path):
        if source.suffix.lower() in ARRAYS:
            return as_picture(read_array(source), channels, str(source), max_pixels)
        source = Encoded(_read(source), str(source))
    if isinstance(source, Encoded):
        return _decode_bytes(source, channels, max_pixels)
    if hasattr(source, "mode") and hasattr(source, "convert"):
        with _refusing(type(source).__name__):
            _check_pixels(source, max_pixels, "the image")
            return to_channels(_upright(source), channels, "the image")
    return as_picture(source, channels, "the input", max_pixels)


def measure_picture(
    source: Any, channels: int = 3, max_pixels: int = MAX_PIXELS
) -> tuple[int, int]:
    """Gives height and width in pixels of what ``decode`` would give, from an image's header.

    Raises:
        DataError: it is missing, or no image; that pixels are damaged may go unseen.
    """
    is_array = isinstance(source, Path) and source.suffix.lower() in ARRAYS
    if is_array or not isinstance(source, (Path, Encoded)):
        return picture_size(decode(source, channels, max_pixels))
    from PIL import Image

    name = source.name if isinstance(source, Encoded) else str(source)
    file = io.BytesIO(source.data) if isinstance(source, Encoded) else source
    with _refusing(name), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        with Image.open(file) as image:
            _check_pixels(image, max_pixels, name)
            width, height = image.size
            lies = image.getexif().get(ORIENTATION, 1) in LYING
            return (width, height) if lies else (height, width)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _decode_bytes(source: Encoded, channels: int, max_pixels: int) -> Picture:
    from PIL import Image

    if not source.data:
        raise DataError(f"{source.name} is empty: it has 0 bytes")
    with _refusing(source.name), warnings.catch_warnings():
        # PIL warns of many pixels, where the cap below decides, and of damaged notes beside the
        # pixels, such as EXIF; what is wrong with the pixels themselves it raises.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        with Image.open(io.BytesIO(source.data)) as image:
            _check_pixels(image, max_pixels, source.name)
            with _nothing_truncated():
                image.load()
            return to_channels(_upright(image), channels, source.name)


def _check_pixels(image: Image, max_pixels: int, name: str) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise DataError(
            f"{name} has {width} x {height} pixels, more than the {max_pixels:,} allowed; make it "
            "smaller, or give a larger max_pixels if it is meant to be so large"
        )


def _upright(image: Image) -> Image:
    """Gives the image as a camera's note of its orientation says that it is to be seen."""
    from PIL import ImageOps

    if image.getexif().get(ORIENTATION, 1) == 1:
        return image
    return ImageOps.exif_transpose(image)


@contextmanager
def _nothing_truncated() -> Iterator[None]:
    """Lets PIL refuse truncated images, even where the whole process was told otherwise."""
    from PIL import ImageFile

    before = ImageFile.LOAD_TRUNCATED_IMAGES
    if before:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        if before:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Turns what PIL's many decoders raise on damaged files into one error that names the file."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except (DataError, Warning):
        raise  # a warning that was made an error says nothing of the file
    except UnidentifiedImageError as error:
        raise DataError(
            f"{name} is no image of a known kind, or its beginning is damaged"
        ) from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{name} has far too many pixels: {error}") from error
    except Exception as error:  # OSError, SyntaxError, struct.error, zlib.error, EOFError, ...
        raise DataError(
            f"{name} is damaged or truncated: {type(error).__name__}: {error}"
        ) from error
