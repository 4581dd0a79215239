"""Resize and centre crop, pixel for pixel as ``Preprocessing.transform`` does them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional

from fusionkit.data.picture import crop, picture_size, resize, to_tensor
from fusionkit.preprocessing import Interpolation, Preprocessing

if TYPE_CHECKING:
    from fusionkit.data.decoding import Picture

__all__ = ["Geometry"]


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where pixels go: all of a preparation but its mean and std.

    Attributes:
        size: (height, width) in pixels of what comes out.
        resize: the shorter side, or (height, width), before the centre crop.
        interpolation: of the resize.
        inner: (height, width) of what a later centre crop takes of it, and which has to be the
            same pixels as if it were taken at once.
        exact: whether resizing gives PIL's own pixels, or almost these in less time.
    """

    size: tuple[int, int]
    resize: int | tuple[int, int]
    interpolation: Interpolation
    inner: tuple[int, int] | None = None
    exact: bool = True

    @classmethod
    def of(cls, preprocessing: Preprocessing, *, exact: bool = True) -> Geometry:
        """Gives the geometry of a preparation; equal ones give the same pixels."""
        size = preprocessing.size
        resize_to = size if preprocessing.resize is None else preprocessing.resize
        return cls(size, resize_to, preprocessing.interpolation, exact=exact)

    def evaluate(self, picture: Picture) -> Tensor:
        """Gives "c height width" after resize and centre crop, black beyond the picture."""
        height, width = self._resized(*picture_size(picture))
        if (height, width) != picture_size(picture):
            picture = resize(picture, (height, width), self.interpolation, exact=self.exact)
        rows, columns = min(height, self.size[0]), min(width, self.size[1])
        inner = self.inner or self.size
        top, left = _start(height, rows, inner[0]), _start(width, columns, inner[1])
        return self._pad(to_tensor(crop(picture, top, left, rows, columns)))

    def squeeze(self, picture: Picture) -> Tensor:
        """Gives "c height width" of the whole picture, whatever its shape was."""
        if picture_size(picture) != self.size:
            picture = resize(picture, self.size, self.interpolation, exact=self.exact)
        return to_tensor(picture)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if not isinstance(self.resize, int):
            return self.resize
        short, long = min(height, width), max(height, width)
        length = int(self.resize * long / short)
        return (length, self.resize) if width <= height else (self.resize, length)

    def _pad(self, image: Tensor) -> Tensor:
        rows, columns = self.size[0] - image.shape[-2], self.size[1] - image.shape[-1]
        if rows <= 0 and columns <= 0:
            return image
        sides = (columns // 2, (columns + 1) // 2, rows // 2, (rows + 1) // 2)
        return functional.pad(image, sides)


def _start(length: int, kept: int, inner: int) -> int:
    """Gives where the middle begins, so that the middle of the middle begins where it should."""
    if length == kept:
        return 0
    return round((length - inner) / 2) - round((kept - inner) / 2)
