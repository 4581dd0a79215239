"""``seed_step``: the random numbers of a step depend on nothing but which step it is."""

from __future__ import annotations

import random
import sys

import torch

from fusionkit.errors import ConfigError

__all__ = ["seed_step", "step_seed"]

WORD = 0xFFFFFFFF


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seeds Python, numpy, and torch on the CPU and all CUDA devices for one training step.

    Called before each step, it makes dropout, drop path, mixup and the like a pure function of
    these three numbers: a resumed run draws what the uninterrupted one drew, whatever ran in
    between (a validation, a plot, another number of workers). Takes some microseconds. numpy is
    seeded if something has imported it, CUDA if something has used it.

    Args:
        seed: of the run.
        step: counted over the whole run, from 0. With accumulation count micro-batches, or all
            of one step draw the same.
        rank: of this process, so that each draws its own.

    Raises:
        ConfigError: one of them is no whole number, or negative.
    """
    word = step_seed(seed, step, rank)
    random.seed(word)
    torch.default_generator.manual_seed(word)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        for generator in torch.cuda.default_generators:
            generator.manual_seed(word)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(word & WORD)


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """Gives 64 bits for a step, of which the lower 32 serve generators that take no more.

    Of one seed and rank no two steps of the first 2**32 have the same lower half, nor have two
    ranks at the same step.

    Raises:
        ConfigError: one of them is no whole number, or negative.
    """
    for name, value in (("seed", seed), ("step", step), ("rank", rank)):
        if type(value) is not int or value < 0:
            raise ConfigError(
                f"seed_step: {name} is a whole number, zero or more, got {value!r:.80}"
            )
    key = _mix(seed & WORD)
    for part in range(32, max(seed.bit_length(), 33), 32):
        key = _mix(key ^ (seed >> part & WORD) ^ part)
    low = _mix(_mix((step ^ key) & WORD) + rank * 0x9E3779B9)
    high = _mix(low ^ _mix((step >> 32) + key) ^ _mix(rank + 0x85EBCA6B))
    return high << 32 | low


def _mix(word: int) -> int:
    """Maps 32 bits to 32 bits, one to one, so that each bit of the answer hangs on all."""
    word &= WORD
    word = (word ^ word >> 16) * 0x7FEB352D & WORD  # the constants of "lowbias32"
    word = (word ^ word >> 15) * 0x846CA68B & WORD
    return word ^ word >> 16
