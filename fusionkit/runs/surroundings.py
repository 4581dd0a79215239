"""``keep_surroundings``: a run leaves the process as it found it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fusionkit.plugins.process import restoring, shared_settings
from fusionkit.training.resume.random_states import capture_random, restore_random

__all__ = ["keep_surroundings"]


@contextmanager
def keep_surroundings() -> Iterator[None]:
    """Puts random numbers and torch's switches back after the block, however it ends.

    Training seeds all generators at each step, and Lightning asks CUDA for deterministic
    algorithms.
    """
    before = capture_random()
    try:
        with restoring(shared_settings()):
            yield
    finally:
        if torch.cuda.is_initialized() and "cuda" not in before:  # type: ignore[no-untyped-call]
            cpu = torch.Generator()
            cpu.set_state(before["torch"])
            torch.cuda.manual_seed_all(cpu.initial_seed())  # as CUDA would have begun
            before["cuda"] = torch.cuda.get_rng_state_all()
        restore_random(before)
