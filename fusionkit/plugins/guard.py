"""Undoes what a plugin changes for everybody while it is loaded, and tells of it."""

from __future__ import annotations

import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["undo_side_effects"]


@dataclass(frozen=True, slots=True)
class _Setting:
    """Something that the whole process shares.

    Attributes:
        what: its name in a sentence.
        read: gives its value, in a form that ``==`` compares.
        write: sets it to such a value.
        shown: whether the values mean something to a reader.
    """

    what: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    shown: bool = True


@contextmanager
def undo_side_effects() -> Iterator[list[str]]:
    """Gives a list which, after the block, tells what was changed in it; it is set back by then.

    Watched are torch's default dtype, default device, threads, gradient mode, matmul precision and
    determinism, the random states of Python, numpy and torch, PIL's tolerance of truncated images,
    the filters of warnings, and environment variables.
    """
    notes: list[str] = []
    settings = _settings()
    before = [setting.read() for setting in settings]
    environment = dict(os.environ)
    with warnings.catch_warnings():
        filters = list(warnings.filters)
        try:
            yield notes
        finally:
            if list(warnings.filters) != filters:
                notes.append("changed the filters of warnings")
            for setting, old in zip(settings, before, strict=True):
                new = setting.read()
                if new != old:
                    setting.write(old)
                    change = f" from {old} to {new}" if setting.shown else ""
                    notes.append(f"changed {setting.what}{change}")
            notes += _restore_environment(environment)


def _settings() -> list[_Setting]:
    import torch

    cudnn = torch.backends.cudnn
    settings = [
        _Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
        _Setting("torch's default device", torch.get_default_device, _set_default_device),
        _Setting("the number of torch's threads", torch.get_num_threads, torch.set_num_threads),
        _Setting("torch's gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
        _Setting(
            "torch's float32 matmul precision",
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
        ),
        _Setting(
            "torch's deterministic mode",
            torch.are_deterministic_algorithms_enabled,
            torch.use_deterministic_algorithms,
        ),
        _Setting(
            "cudnn.benchmark",
            lambda: cudnn.benchmark,
            lambda value: setattr(cudnn, "benchmark", value),
        ),
        _Setting("torch's random state", _torch_state, _set_torch_state, shown=False),
        _Setting("Python's random state", random.getstate, random.setstate, shown=False),
        _Setting("PIL's LOAD_TRUNCATED_IMAGES", _truncated_images, _set_truncated_images),
    ]
    if "numpy" in sys.modules:  # its first state is drawn from the system, so it cannot be told
        settings.append(
            _Setting("numpy's random state", _numpy_state, _set_numpy_state, shown=False)
        )
    return settings


def _set_default_device(device: Any) -> None:
    import torch

    # "cpu" stands for no default at all, and setting it would slow every later call down
    torch.set_default_device(None if device.type == "cpu" else device)


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


def _truncated_images() -> bool:
    module = sys.modules.get("PIL.ImageFile")
    return bool(getattr(module, "LOAD_TRUNCATED_IMAGES", False))


def _set_truncated_images(value: bool) -> None:
    module: Any = sys.modules["PIL.ImageFile"]
    module.LOAD_TRUNCATED_IMAGES = value


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
