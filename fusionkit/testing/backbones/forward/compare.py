"""Tells how far two answers are apart, in words that a finding can use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from fusionkit.features import Features, Reads

__all__ = ["NOISE", "deviation", "differences", "named", "same_values"]

NOISE = 1e-4
"""What another order of the same sums may change, as a part of the largest value."""


def named(features: Any, reads: Reads) -> dict[str, Tensor]:
    """Gives the tensors that are there, of those that were read, by a name for each."""
    if not isinstance(features, Features):
        return {}
    found: dict[str, Any] = {}
    if reads.vector:
        found["vector"] = features.vector
    maps = features.maps if isinstance(features.maps, list | tuple) else ()
    found |= {
        f"map of level {level}": value for level, value in zip(reads.levels, maps, strict=False)
    }
    if reads.logits:
        found["logits"] = features.logits
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def deviation(one: Tensor, other: Tensor) -> float:
    """Gives the largest difference, as a part of the largest value of ``other``.

    Other shapes are infinitely far apart; on the meta device only shapes are compared.
    """
    if one.shape != other.shape:
        return float("inf")
    if one.is_meta or other.is_meta or not one.numel():
        return 0.0
    mine, theirs = (value.detach().double().nan_to_num() for value in (one, other))
    apart = float((mine - theirs).abs().max())
    scale = float(theirs.abs().max())
    return apart / scale if scale else (float("inf") if apart else 0.0)


def differences(
    one: Features, other: Features, reads: Reads, tolerance: float = NOISE
) -> Iterator[str]:
    """Gives a phrase for each of the tensors read that is not the same in both answers."""
    theirs = named(other, reads)
    for name, mine in named(one, reads).items():
        if name not in theirs:
            continue
        against = theirs[name]
        if mine.shape != against.shape:
            yield f"the {name} is {tuple(mine.shape)} instead of {tuple(against.shape)}"
        elif not same_values(mine, against, tolerance):
            yield f"the {name} differs by {deviation(mine, against):.2g} of its largest value"


def same_values(one: Tensor, other: Tensor, tolerance: float = NOISE) -> bool:
    """Tells whether two tensors are alike but for numerical noise; with 0, to the bit."""
    return not deviation(one, other) > tolerance
