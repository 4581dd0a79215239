"""Makes an observation of a subject once, for all checks that ask for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch

from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.seed import set_seed

__all__ = ["once"]

Observation = TypeVar("Observation")


def once(
    observe: Callable[[BackboneSubject], Observation],
) -> Callable[[BackboneSubject], Observation]:
    """Makes a function of a subject that is asked once for each, from a fixed random state.

    What it gives is not to hold the subject itself, which would keep both alive.
    """
    kept: WeakKeyDictionary[BackboneSubject, Observation] = WeakKeyDictionary()

    @wraps(observe)
    def answer(subject: BackboneSubject) -> Observation:
        if subject not in kept:
            with torch.random.fork_rng(devices=()):
                set_seed(0)
                kept[subject] = observe(subject)
        return kept[subject]

    return answer
