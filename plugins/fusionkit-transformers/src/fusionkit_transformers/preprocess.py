"""From the settings of an image processor to how inputs were prepared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusionkit import ConfigError, Preprocessing
from fusionkit_transformers.hub import PROCESSOR
from fusionkit_transformers.quiet import quiet

__all__ = ["read_preprocessing"]

INTERPOLATIONS: Mapping[int, Any] = {0: "nearest", 2: "bilinear", 3: "bicubic"}
SQUASH_FROM = 384
"""ConvNeXt's processor crops below this size, and squeezes from it on."""


def read_preprocessing(folder: Path | None, in_channels: int) -> Preprocessing | None:
    """Gives how inputs are prepared, or ``None`` where a folder does not say so, or cannot.

    Raises:
        ConfigError: the folder's description of its processor cannot be read.
    """
    if folder is None or not (folder / PROCESSOR).is_file():
        return None
    processor = _processor(folder)
    size = _sides(getattr(processor, "size", None))
    crop = _sides(getattr(processor, "crop_size", None))
    interpolation = INTERPOLATIONS.get(int(getattr(processor, "resample", None) or 0))
    if interpolation is None or size is None or getattr(processor, "do_resize", True) is False:
        return None
    resize: int | tuple[int, int] | None = size
    share = getattr(processor, "crop_pct", None)
    if getattr(processor, "do_center_crop", False) and crop is not None:
        size = crop if isinstance(crop, tuple) else (crop, crop)
    elif isinstance(size, int) and share is not None:
        squash = size >= SQUASH_FROM
        resize = (size, size) if squash else math.floor(size / share)
        size = (size, size)
    elif isinstance(size, int):  # the other side is as long as the image has it
        size = (size, size)
    else:
        resize = None
    mean, std = _statistics(processor)
    return Preprocessing(size, mean, std, interpolation, resize).for_channels(in_channels)


def _processor(folder: Path) -> Any:
    from transformers import AutoImageProcessor

    try:
        with quiet():
            return AutoImageProcessor.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
    except Exception as error:
        raise ConfigError(
            f"{folder / PROCESSOR} does not describe an image processor that this transformers "
            f"has ({' '.join(str(error).split())[:200]}); take it away, and give "
            "Branch(preprocessing=...)"
        ) from error


def _sides(size: Any) -> int | tuple[int, int] | None:
    """Gives the shorter side, or height and width, in pixels."""
    if isinstance(size, int):
        return (size, size)
    if size is None:
        return None
    given = dict(size.items()) if hasattr(size, "items") else dict(size)
    given = {key: value for key, value in given.items() if value is not None}
    if "height" in given and "width" in given:
        return int(given["height"]), int(given["width"])
    if set(given) == {"shortest_edge"}:
        return int(given["shortest_edge"])
    return None


def _statistics(processor: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Gives mean and std for an image in [0, 1], whatever the processor rescales it to."""
    scale = 1.0
    if getattr(processor, "do_rescale", True):
        scale = 255 * float(getattr(processor, "rescale_factor", 1 / 255))
    else:
        scale = 255.0
    offset = 1.0 if getattr(processor, "rescale_offset", False) else 0.0
    if math.isclose(scale, 1.0, rel_tol=1e-6):
        scale = 1.0
    mean, std = [0.0] * 3, [1.0] * 3
    if getattr(processor, "do_normalize", True):
        mean, std = list(processor.image_mean), list(processor.image_std)
    return (
        tuple((float(value) + offset) / scale for value in mean),
        tuple(float(value) / scale for value in std),
    )
