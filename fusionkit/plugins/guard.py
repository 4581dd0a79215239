"""Undoes what a plugin changes for everybody while it is loaded, and tells of it."""

from __future__ import annotations

import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fusionkit.plugins.process import Setting, restoring, shared_settings

__all__ = ["undo_side_effects"]


@contextmanager
def undo_side_effects() -> Iterator[list[str]]:
    """Gives a list which, after the block, tells what was changed in it; it is set back by then.

    Watched are torch's default dtype, default device, threads, gradient mode, matmul precision and
    determinism, the random states of Python, numpy and torch, PIL's tolerance of truncated images,
    the filters of warnings, and environment variables.
    """
    notes: list[str] = []
    settings = list(_settings())  # imports torch, which filters warnings of its own
    environment = dict(os.environ)
    with warnings.catch_warnings():
        filters = list(warnings.filters)
        try:
            with restoring(settings) as changed:
                yield notes
        finally:
            if list(warnings.filters) != filters:
                notes.append("changed the filters of warnings")
            notes += [f"changed {change}" for change in changed]
            notes += _restore_environment(environment)


def _settings() -> Iterator[Setting]:
    yield from shared_settings()
    yield Setting("torch's random state", _torch_state, _set_torch_state)
    yield Setting("Python's random state", random.getstate, random.setstate)
    if "numpy" in sys.modules:  # its first state is drawn from the system, so it cannot be told
        yield Setting("numpy's random state", _numpy_state, _set_numpy_state)


def _torch_state() -> bytes:
    import torch

    return torch.get_rng_state().numpy().tobytes()


def _set_torch_state(state: bytes) -> None:
    import torch

    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _numpy_state() -> tuple[Any, ...]:
    import numpy as np

    state: Any = np.random.get_state(legacy=True)
    kind, keys, *rest = state
    return (kind, keys.tobytes(), *rest)


def _set_numpy_state(state: tuple[Any, ...]) -> None:
    import numpy as np

    kind, keys, *rest = state
    np.random.set_state((kind, np.frombuffer(keys, dtype=np.uint32), *rest))


def _restore_environment(before: dict[str, str]) -> list[str]:
    notes = []
    for name in sorted(before.keys() | os.environ.keys()):
        old, new = before.get(name), os.environ.get(name)
        if old == new:
            continue
        if old is None:
            del os.environ[name]
        else:
            os.environ[name] = old
        notes.append(f"changed the environment variable {name}")
    return notes
