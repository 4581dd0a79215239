"""Sets the state from which torch draws, without what that costs where there is one device only."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["draws_otherwise", "set_seed", "shared_states"]


def set_seed(seed: int) -> None:
    """Does what ``torch.manual_seed`` does.

    That notes the call and its whole stack for each kind of accelerator that is not started, for
    ever, which took half of the kit's time. Without any there is the CPU's generator alone.
    """
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@contextmanager
def draws_otherwise(seed: int) -> Iterator[None]:
    """Sets torch's state, and for a while Python's and numpy's, which a factory may draw from."""
    numpy: Any = sys.modules.get("numpy")
    before = random.getstate(), numpy.random.get_state() if numpy else None
    set_seed(seed)
    random.seed(seed)
    if numpy:
        numpy.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(before[0])
        if numpy:
            numpy.random.set_state(before[1])


def shared_states() -> dict[str, object]:
    """Gives where the generators of torch, Python and numpy stand, to be compared."""
    numpy: Any = sys.modules.get("numpy")
    states: dict[str, object] = {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "Python": random.getstate(),
    }
    if numpy:
        name, keys, *rest = numpy.random.get_state()
        states["numpy"] = (name, keys.tobytes(), *rest)
    return states
