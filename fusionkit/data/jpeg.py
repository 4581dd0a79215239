"""A faster decoder for ordinary JPEG files, where its pixels are proved to be PIL's."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["decode_jpeg"]

SAMPLINGS = {
    ((1, 1), (1, 1), (1, 1)): 0,
    ((2, 1), (1, 1), (1, 1)): 1,
    ((2, 2), (1, 1), (1, 1)): 2,
}
"""PIL's number of each way in which colour is sampled, by the factors in a file's header."""

ORDINARY = frozenset(("jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "icc_profile"))
"""What may stand in a header and changes no pixel; anything else is left to PIL."""


def decode_jpeg(data: bytes, image: Image) -> Tensor | None:
    """Gives "3 h w" of uint8 with PIL's own pixels, or ``None`` where that is PIL's business.

    torchvision decodes into the memory that a tensor needs, and saves the ways to it. Both use
    libjpeg-turbo, but not the same build of it. So each way of sampling colours is tried once in
    each process, and used only if all pixels are equal.

    Args:
        data: the file's bytes.
        image: the same, opened by PIL and not loaded.

    Raises:
        RuntimeError: the file is truncated or damaged.
    """
    if image.format != "JPEG" or image.mode != "RGB" or not ORDINARY.issuperset(image.info):
        return None
    layers: Any = getattr(image, "layer", ())
    factors: Any = tuple((layer[1], layer[2]) for layer in layers)
    sampling = SAMPLINGS.get(factors)
    if sampling is None or not _same_pixels(sampling):
        return None
    return _decode(data)


def _decode(data: bytes) -> Tensor:
    import torch
    from torchvision.io import ImageReadMode
    from torchvision.io import decode_jpeg as decode

    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    pixels: Tensor = decode(encoded, mode=ImageReadMode.RGB)
    return pixels


@cache
def _same_pixels(sampling: int) -> bool:
    """Tells whether torchvision decodes a noisy picture of odd sides to the same pixels as PIL."""
    import numpy as np
    import torch
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (45, 83, 3), dtype=np.uint8)
    for quality in (60, 95):
        file = io.BytesIO()
        Image.fromarray(noise).save(file, "JPEG", quality=quality, subsampling=sampling)
        with Image.open(file) as image:
            expected = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        try:
            if not torch.equal(_decode(file.getvalue()), expected):
                return False
        except (ImportError, RuntimeError):
            return False  # a torchvision that was built without its decoders
    return True
