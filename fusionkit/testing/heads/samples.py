"""Samples with labels that are easily told apart by any branch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fusionkit.features import Features
from fusionkit.testing.heads.subject import HeadCase

__all__ = ["Samples", "draw_samples"]

PER_CLASS = 8
APART = 4.0
"""How far the classes' means are spread, beside noise of 1."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What a fit is given.

    Attributes:
        features: exactly what the head reads of each branch.
        labels: "n".
    """

    features: dict[str, Features]
    labels: Tensor


def draw_samples(
    case: HeadCase,
    *,
    per_class: int = PER_CLASS,
    classes: Sequence[int] | None = None,
    telling: Collection[str] | None = None,
    seed: int = 0,
) -> Samples:
    """Gives noise about a mean of each class; the means are the same for every seed.

    Args:
        case: whose branches they are of.
        per_class: how many of each class.
        classes: those that occur; all by default.
        telling: the branches that tell them apart; all by default.
        seed: another gives other noise.
    """
    occurring = list(range(case.situation.num_classes)) if classes is None else list(classes)
    labels = torch.tensor(occurring * per_class)
    noise = case.features(batch=len(labels), seed=seed + 10)
    features = {
        name: _move(each, labels, case.situation.num_classes, place)
        if telling is None or name in telling
        else each
        for place, (name, each) in enumerate(noise.items())
    }
    return Samples(features, labels)


def _move(noise: Features, labels: Tensor, num_classes: int, place: int) -> Features:
    generator = torch.Generator().manual_seed(place)

    def add(values: Tensor) -> Tensor:
        means = APART * torch.randn(num_classes, values.shape[1], generator=generator)
        return values + means[labels].reshape(*values.shape[:2], *[1] * (values.ndim - 2))

    logits = noise.logits
    if logits is not None:
        logits = logits + APART * torch.nn.functional.one_hot(labels, num_classes)
    vector = None if noise.vector is None else add(noise.vector)
    return Features(vector, tuple(map(add, noise.maps)), logits)
