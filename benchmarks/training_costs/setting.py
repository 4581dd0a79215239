"""How large the comparisons are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import fusionkit as fk

__all__ = ["PREPARED", "Setting"]

PREPARED = fk.Preprocessing(resize=256)
"""As the tutorial prepares its photographs: resized to 256, the middle 224, ImageNet's mean."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is trained on what.

    Attributes:
        folder: of the photographs and of whatever is written.
        batch: samples in a step.
        rounds: of the median.
        large: backbone of the comparisons of training, a name of timm's.
        pair: backbones of the cache's comparison.
        prepared: how photographs are prepared.
        steps: of a training epoch.
        photographs: of a cached epoch, and of a pass of decoding.
    """

    folder: Path
    batch: int = 16
    rounds: int = 5
    large: str = "resnet50"
    pair: tuple[str, str] = ("timm/resnet18", "torchvision/mobilenet_v3_small")
    prepared: fk.Preprocessing = PREPARED
    steps: int = 4
    photographs: int = 240
