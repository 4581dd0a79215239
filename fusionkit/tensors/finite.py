"""``KnownFinite``: tensors that were seen to be finite while they were read."""

from __future__ import annotations

import math
from weakref import WeakValueDictionary

from torch import Tensor

__all__ = ["KnownFinite", "has_finite_sum"]


class KnownFinite:
    """Tensors, as objects, all of whose values are finite; it keeps none of them alive."""

    def __init__(self) -> None:
        self._tensors: WeakValueDictionary[int, Tensor] = WeakValueDictionary()

    def add(self, value: Tensor) -> None:
        """Takes note of a tensor that nobody changes from now on."""
        self._tensors[id(value)] = value

    def __contains__(self, value: Tensor) -> bool:
        return self._tensors.get(id(value)) is value


def has_finite_sum(value: Tensor) -> bool:
    """Tells that all values are finite, or that it takes a closer look.

    A value that is not finite makes the sum so; large ones may too.
    """
    return math.isfinite(value.sum())
