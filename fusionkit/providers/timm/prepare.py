"""From timm's description of weights to how their inputs were prepared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fusionkit import Preprocessing

__all__ = ["read_preprocessing"]

INTERPOLATIONS: Mapping[str, Any] = {
    "nearest": "nearest",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
    "random": "bilinear",  # what was drawn at random in training is evaluated so
    "": "bicubic",
}


def read_preprocessing(
    description: Mapping[str, Any], size: tuple[int, int], in_channels: int
) -> Preprocessing | None:
    """Gives how inputs are prepared for evaluation, or ``None`` where that cannot be said.

    Args:
        description: timm's account of the weights.
        size: height and width of the network's input in pixels.
        in_channels: of the network's input; statistics are averaged for other than the trained.
    """
    interpolation = INTERPOLATIONS.get(description.get("interpolation") or "")
    mode = description.get("crop_mode") or "center"
    if interpolation is None or mode not in ("center", "squash"):
        return None
    share = description.get("crop_pct") or 0.875
    scaled = (math.floor(size[0] / share), math.floor(size[1] / share))
    resize: int | tuple[int, int] = scaled if mode == "squash" else max(scaled)
    preprocessing = Preprocessing(
        size=size,
        mean=tuple(description.get("mean") or (0.485, 0.456, 0.406)),
        std=tuple(description.get("std") or (0.229, 0.224, 0.225)),
        interpolation=interpolation,
        resize=resize,
    )
    return preprocessing.for_channels(in_channels)
