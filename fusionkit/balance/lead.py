"""Which branch leads, and by how much it is slowed (arXiv:2203.15332)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fusionkit.errors import DataError

__all__ = ["add_confidences", "slow_leaders"]


def add_confidences(scores: Tensor, labels: Tensor) -> Tensor:
    """Gives the sum over the batch of the true class's probability.

    Args:
        scores: "b k", before any softmax.
        labels: whole numbers "b", or the probability of each class, "b k".

    Raises:
        DataError: the labels are neither.
    """
    if labels.ndim == 1 and not labels.is_floating_point() and len(labels) == len(scores):
        labels = F.one_hot(labels.long(), scores.shape[1])
    if labels.shape != scores.shape:
        raise DataError(
            f"OGMGE: labels are whole numbers 'b' or probabilities 'b k' for scores "
            f"{tuple(scores.shape)}, got {labels.dtype} of shape {tuple(labels.shape)}"
        )
    return (scores.softmax(-1, dtype=torch.float32) * labels.to(scores.device)).sum()


def slow_leaders(
    confidences: Sequence[float], alpha: float, against: Literal["mean", "max"]
) -> list[float]:
    """Gives k = 1 - tanh(alpha r) of each branch whose ratio r to the others is above 1, else 1."""
    factors = []
    for index, own in enumerate(confidences):
        others = [*confidences[:index], *confidences[index + 1 :]]
        rival = max(others) if against == "max" else sum(others) / len(others)
        ratio = own / rival if rival > 0 else math.inf
        factors.append(1 - math.tanh(alpha * ratio) if own > rival else 1.0)
    return factors
