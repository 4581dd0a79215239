"""What is drawn for one sample in one epoch, and what it does to a picture."""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from fusionkit.data.augment import Augment
from fusionkit.data.picture import crop, mirror, picture_size, rotate, to_pil, to_tensor

if TYPE_CHECKING:
    from fusionkit.data.decoding import Picture

__all__ = ["Variation", "draw_variation"]

TRIES = 10

Box = tuple[float, float, float, float]
"""Top, left, height and width, as shares of the picture's."""


@dataclass(frozen=True, slots=True)
class Variation:
    """What happens to a sample's pictures; positions are shares of height and width.

    Attributes:
        box: the part that is shown; ``None`` for all of it.
        horizontally: whether left and right change places.
        vertically: whether top and bottom do.
        degrees: by which it is turned.
        colours: what is done to colours, by name, in this order.
        erased: the rectangle of what is shown that is filled.
    """

    box: Box | None
    horizontally: bool
    vertically: bool
    degrees: float
    colours: tuple[tuple[str, float], ...]
    erased: Box | None

    def apply(self, picture: Picture) -> Picture:
        """Gives the part that is shown, turned and coloured, in the picture's own resolution."""
        if self.degrees:
            picture = rotate(picture, self.degrees)
        if self.box is not None:
            picture = crop(picture, *_pixels(self.box, *picture_size(picture)))
        if self.horizontally or self.vertically:
            picture = mirror(picture, self.horizontally, self.vertically)
        return self._colour(picture)

    def erase(self, image: Tensor) -> Tensor:
        """Gives "c h w" with the rectangle filled with the image's mean."""
        if self.erased is None:
            return image
        top, left, height, width = _pixels(self.erased, image.shape[-2], image.shape[-1])
        mean = image.float().mean((-2, -1), keepdim=True).to(image.dtype)
        image = image.clone()
        image[..., top : top + height, left : left + width] = mean
        return image

    def _colour(self, picture: Picture) -> Picture:
        if not self.colours:
            return picture
        image = to_pil(picture)
        if image is None:
            return picture
        from torchvision.transforms import functional

        for name, amount in self.colours:
            if name == "grayscale":
                image = functional.rgb_to_grayscale(image, num_output_channels=3)
            else:
                image = getattr(functional, f"adjust_{name}")(image, amount)
        return to_tensor(image) if isinstance(picture, Tensor) else image


def draw_variation(
    augment: Augment, height: int, width: int, *, seed: int, epoch: int, key: str
) -> Variation:
    """Gives what happens to one sample in one epoch: a pure function of what it is given.

    Args:
        augment: what may happen.
        height: of the picture in pixels.
        width: of the picture in pixels.
        seed: of the run.
        epoch: counted from 0.
        key: the sample's id, and the input's name where each input is varied by itself.
    """
    # The same numbers in every process and under every version, unlike those of hash().
    digest = hashlib.blake2b(f"{seed}\0{epoch}\0{key}".encode(), digest_size=16).digest()
    dice = random.Random(int.from_bytes(digest, "big"))  # noqa: S311
    colours = [
        (name, dice.uniform(1 - strength, 1 + strength))
        for name in ("brightness", "contrast", "saturation")
        if (strength := getattr(augment, name))
    ]
    if augment.hue:
        colours.append(("hue", dice.uniform(-augment.hue, augment.hue)))
    dice.shuffle(colours)
    if augment.grayscale and dice.random() < augment.grayscale:
        colours.append(("grayscale", 1.0))
    return Variation(
        box=_draw_box(dice, augment.crop, augment.ratio, width / height) if augment.crop else None,
        horizontally=dice.random() < augment.flip,
        vertically=dice.random() < augment.vertical_flip,
        degrees=dice.uniform(-augment.rotate, augment.rotate) if augment.rotate else 0.0,
        colours=tuple(colours),
        erased=(
            _draw_box(dice, augment.erase_area, (0.3, 1 / 0.3), width / height)
            if dice.random() < augment.erase
            else None
        ),
    )


def _draw_box(
    dice: random.Random, area: tuple[float, float], ratio: tuple[float, float], shape: float
) -> Box:
    """Gives a rectangle inside the picture, whose width by height is ``shape``."""
    for _ in range(TRIES):
        share = dice.uniform(*area)
        aspect = math.exp(dice.uniform(math.log(ratio[0]), math.log(ratio[1])))
        height, width = math.sqrt(share * shape / aspect), math.sqrt(share * aspect / shape)
        if height <= 1 and width <= 1:
            return dice.uniform(0, 1 - height), dice.uniform(0, 1 - width), height, width
    # No such part fits in: the largest in the middle whose shape is allowed.
    aspect = min(max(shape, ratio[0]), ratio[1])
    height, width = min(1.0, shape / aspect), min(1.0, aspect / shape)
    return (1 - height) / 2, (1 - width) / 2, height, width


def _pixels(box: Box, height: int, width: int) -> tuple[int, int, int, int]:
    rows = min(max(1, round(box[2] * height)), height)
    columns = min(max(1, round(box[3] * width)), width)
    top = min(round(box[0] * height), height - rows)
    left = min(round(box[1] * width), width - columns)
    return top, left, rows, columns
