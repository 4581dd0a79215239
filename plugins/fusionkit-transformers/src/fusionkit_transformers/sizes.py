"""Which sizes of images a model takes, found by trying."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fusionkit import Preprocessing
from fusionkit_transformers.trace import REFUSALS

__all__ = ["find_sizes", "input_size"]

STEPS = (1, 2, 4, 8, 14, 16, 28, 32, 48, 56, 64)


def input_size(config: Any, preprocessing: Preprocessing | None) -> tuple[int, int]:
    """Gives height and width in pixels that a model is meant for."""
    size = getattr(getattr(config, "vision_config", config), "image_size", None)
    if isinstance(size, int):
        return size, size
    if isinstance(size, (list, tuple)) and len(size) == 2:
        return int(size[0]), int(size[1])
    patches, patch = getattr(config, "num_patches", None), getattr(config, "patch_size", None)
    if isinstance(patches, int) and isinstance(patch, int):
        side = int(patches**0.5) * patch
        return side, side
    return preprocessing.size if preprocessing is not None else (224, 224)


def find_sizes(
    run: Callable[[tuple[int, int]], Any], size: tuple[int, int]
) -> tuple[tuple[int, int] | None, int]:
    """Gives the only size that a model takes, or ``None`` and what sides must be multiples of.

    Args:
        run: runs the model on an image of a size; on the meta device that costs little.
        size: one that the model takes.
    """
    height, width = size
    for step in STEPS:
        if height % step or width % step:
            continue
        # an odd multiple beyond half a patch of any common size, so that rounding hides nothing
        offset = step * (1 + 2 * (33 // (2 * step)))
        try:
            run((height + offset, width + offset))
        except REFUSALS:
            continue
        return None, step
    return size, 1
