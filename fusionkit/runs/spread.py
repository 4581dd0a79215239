"""A mean with its spread, as tables show it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev

__all__ = ["spread"]


def spread(values: Sequence[float], *, signed: bool = False) -> str:
    """Gives a mean, and with two values or more their standard deviation.

    Args:
        values: one or more.
        signed: whether a mean above zero gets a plus, as a difference has it.
    """
    shown = f"{mean(values):+.3f}" if signed else f"{mean(values):.3f}"
    return shown if len(values) < 2 else f"{shown} ± {stdev(values):.3f}"
