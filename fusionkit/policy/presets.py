"""The four ways to transfer that practitioners name, and which one to begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fusionkit.errors import PolicyError
from fusionkit.numbers import is_count
from fusionkit.policy.freeze import Freeze
from fusionkit.policy.lr import LR

__all__ = [
    "Preset",
    "discriminative_fine_tuning",
    "feature_extraction",
    "fine_tuning",
    "gradual_unfreezing",
    "suggest",
]


@dataclass(frozen=True, slots=True)
class Preset:
    """A freeze and a learning-rate policy that belong together.

    Attributes:
        name: what practitioners call it.
        freeze: for ``Branch(freeze=...)``.
        lr: for ``Branch(lr=...)``.
        reason: why it was suggested.
    """

    name: str
    freeze: Freeze
    lr: LR
    reason: str = ""


def feature_extraction(reason: str = "") -> Preset:
    """The trunk is frozen; only the head learns."""
    return Preset("feature extraction", Freeze.all(), LR(), reason)


def fine_tuning(scale: float = 0.1, reason: str = "") -> Preset:
    """Every stage learns at one rate, ``scale`` times the head's."""
    return Preset("fine-tuning", Freeze.none(), LR(scale), reason)


def discriminative_fine_tuning(
    scale: float = 0.1, layer_decay: float = 0.75, reason: str = ""
) -> Preset:
    """Every stage learns, the earlier the slower (ULMFiT, arXiv:1801.06146)."""
    return Preset(
        "discriminative fine-tuning", Freeze.none(), LR(scale, layer_decay=layer_decay), reason
    )


def gradual_unfreezing(
    start: int | None = None,
    every: int = 1,
    scale: float = 0.1,
    layer_decay: float = 0.75,
    reason: str = "",
) -> Preset:
    """First the head, then stage by stage from the last to the stem (arXiv:1801.06146)."""
    return Preset(
        "gradual unfreezing",
        Freeze.gradual(start, every),
        LR(scale, layer_decay=layer_decay, warmup=1),
        reason,
    )


def suggest(num_images: int, domain: Literal["near", "far"] = "near") -> Preset:
    """Gives the preset to begin with, by the usual guide, with its reason.

    Under 500 images: feature extraction. From 500 to 5,000: feature extraction, then gradual
    unfreezing. Above: fine-tuning. In a domain far from what the weights were trained on
    (X-rays, satellite images, flow fields, for ImageNet weights) the early stages have to
    change as well, so all of them learn from the first epoch on, the more slowly the fewer
    images there are.

    Args:
        num_images: labelled training images, at least 1.
        domain: ``"near"`` or ``"far"`` from what the weights were trained on.
    """
    if not is_count(num_images):
        raise PolicyError(f"suggest takes the number of training images, got {num_images!r}")
    if domain not in ("near", "far"):
        raise PolicyError(f"suggest takes domain 'near' or 'far', got {domain!r}")
    if domain == "far":
        why = (
            f"{num_images:,} images in a far domain: early stages see unfamiliar edges and "
            "textures, so every stage learns from the first epoch on"
        )
        if num_images > 5000:
            return fine_tuning(reason=f"{why}; enough images for one rate")
        return discriminative_fine_tuning(reason=f"{why}; few images, so early stages learn slowly")
    if num_images < 500:
        return feature_extraction(
            reason=f"{num_images:,} images, under 500: a trunk that learns would overfit"
        )
    if num_images <= 5000:
        return gradual_unfreezing(
            start=3,
            every=2,
            reason=f"{num_images:,} images, 500 to 5,000: three epochs of feature extraction, "
            "then a stage every two epochs",
        )
    return fine_tuning(reason=f"{num_images:,} images, above 5,000: enough to move every stage")
