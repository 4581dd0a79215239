"""What a declared stride says of the size of a map, and where the map says otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

__all__ = ["misfits", "misfits_of_one"]

Size: TypeAlias = tuple[int, int]

LOST = 5
"""How many rows or columns of a map convolutions without padding may lose on the way."""

WON = 1
"""How many rows or columns padding may add."""

TELLING = 8
"""From this many rows on it is no accident that they divide the input evenly."""


def misfits(
    stride: int, size: Size, found: Size, other_size: Size, other_found: Size
) -> Iterator[str]:
    """Gives what speaks against a stride, from the sizes of one level's map at two input sizes.

    Borders are lost or won alike at both sizes, so that the difference tells the stride.
    """
    for axis, side, rows in zip(AXES, size, found, strict=True):
        if not -LOST <= rows - side / stride <= WON:
            yield _told(stride, axis, side, rows)
            return
    for axis, side, rows, other_side, other_rows in zip(
        AXES, size, found, other_size, other_found, strict=True
    ):
        grown, expected = other_rows - rows, (other_side - side) / stride
        if abs(grown - expected) >= 1:
            yield (
                f"declares stride {stride}, but at {axis} {side} and {other_side} pixels its maps "
                f"have {axis} {rows} and {other_rows}"
            )
            return


def misfits_of_one(stride: int, size: Size, found: Size) -> Iterator[str]:
    """Gives what speaks against a stride, from the size of one level's map at one input size."""
    for axis, side, rows in zip(AXES, size, found, strict=True):
        evenly = rows >= TELLING and side % rows == 0 and side // rows != stride
        if evenly or not -LOST <= rows - side / stride <= WON:
            yield _told(stride, axis, side, rows)
            return


AXES = ("height", "width")


def _told(stride: int, axis: str, side: int, rows: int) -> str:
    return (
        f"declares stride {stride}, but at {axis} {side} pixels its maps have {axis} {rows}, "
        f"not about {side / stride:.3g}"
    )
