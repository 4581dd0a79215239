"""The states of all generators of random numbers that a training step may draw from."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from fusionkit.errors import ResumeError

__all__ = ["capture_random", "restore_random"]


def capture_random() -> dict[str, Any]:
    """Gives the states of Python's, torch's and each CUDA device's generator, and of numpy's.

    numpy's is there if something has imported it, CUDA's if something has used it.
    """
    state: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        state["numpy"] = numpy.random.get_state()
    if _uses_cuda():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random(state: Any) -> None:
    """Sets all generators to what ``capture_random`` gave, or, where that fails, none.

    Raises:
        ResumeError: an entry is missing or none, or there are other CUDA devices.
    """
    before = capture_random()
    try:
        _restore(state)
    except ResumeError:
        _restore(before)
        raise


def _restore(state: Any) -> None:
    if not isinstance(state, dict) or not {"python", "torch"} <= state.keys():
        raise ResumeError("the state of the random numbers is missing")
    _set("Python", random.setstate, state["python"])
    _set("torch", torch.set_rng_state, state["torch"])
    if "numpy" in state:
        import numpy

        _set("numpy", numpy.random.set_state, state["numpy"])
    saved = state.get("cuda", [])
    there = torch.cuda.device_count() if saved or _uses_cuda() else 0
    if not isinstance(saved, list) or len(saved) != there:
        count = len(saved) if isinstance(saved, list) else saved
        raise ResumeError(
            f"random numbers of {count!r:.40} CUDA devices were saved, here are {there}"
        )
    for device, each in enumerate(saved):
        _set(f"cuda:{device}", partial(torch.cuda.set_rng_state, device=device), each)


def _set(name: str, setter: Callable[[Any], None], value: Any) -> None:
    try:
        setter(value)
    except (
        AttributeError,
        IndexError,
        OverflowError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise ResumeError(f"the state of {name}'s random numbers is none: {error}") from error


def _uses_cuda() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
