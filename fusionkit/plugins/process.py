"""``Setting``: what the whole process shares, read, compared and put back around a block."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Setting", "flushes_denormals", "restoring", "shared_settings", "switch"]


@dataclass(frozen=True, slots=True)
class Setting:
    """Something that the whole process shares.

    Attributes:
        what: its name in a sentence.
        read: gives its value, in a form that ``==`` compares.
        write: sets it to such a value.
    """

    what: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


@contextmanager
def restoring(settings: Iterable[Setting]) -> Iterator[list[str]]:
    """Gives a list which, after the block, tells what was changed in it; it is set back by then."""
    notes: list[str] = []
    before = [(setting, setting.read()) for setting in settings]
    try:
        yield notes
    finally:
        for setting, old in before:
            new = setting.read()
            if new != old:
                setting.write(old)
                notes.append(f"{setting.what}{_change(old, new)}")


def switch(what: str, owner: Any, name: str) -> Setting:
    """Gives the setting that is an attribute of a module or object."""
    return Setting(what, lambda: getattr(owner, name), lambda value: setattr(owner, name, value))


def shared_settings() -> Iterator[Setting]:
    """Gives the switches of torch and PIL that neither a plugin nor a backbone has to turn."""
    import torch

    yield Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype)
    yield Setting("torch's default device", _default_device, torch.set_default_device)
    yield Setting("the number of torch's threads", torch.get_num_threads, torch.set_num_threads)
    yield Setting("torch's gradient mode", torch.is_grad_enabled, torch.set_grad_enabled)
    yield Setting("torch's deterministic mode", _deterministic, _set_deterministic)
    yield Setting(
        "torch's float32 matmul precision",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    )
    yield Setting("torch's flushing of denormals", flushes_denormals, torch.set_flush_denormal)
    yield switch("cudnn.benchmark", torch.backends.cudnn, "benchmark")
    yield Setting("PIL's LOAD_TRUNCATED_IMAGES", _truncated_images, _set_truncated_images)


def flushes_denormals() -> bool:
    """Tells whether this thread's processor takes numbers too small to be normal for zeros."""
    return sys.float_info.min / 2 == 0


def _change(old: object, new: object) -> str:
    import torch

    shown = (bool, int, float, str, torch.dtype, torch.device)
    if isinstance(old, shown) and isinstance(new, shown):
        return f", from {old} to {new}"
    return ""


def _default_device() -> Any:
    """Gives what was set for all, and not what a `with torch.device(...)` around this says."""
    import torch

    held = getattr(torch, "_GLOBAL_DEVICE_CONTEXT", None)
    context = getattr(held, "device_context", None)
    return None if context is None else context.device


def _deterministic() -> str:
    import torch

    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    on = torch.are_deterministic_algorithms_enabled()
    return "on, with warnings only" if on and warns else "on" if on else "off"


def _set_deterministic(value: str) -> None:
    import torch

    torch.use_deterministic_algorithms(value != "off", warn_only="warnings" in value)


def _truncated_images() -> bool:
    module = sys.modules.get("PIL.ImageFile")
    return bool(getattr(module, "LOAD_TRUNCATED_IMAGES", False))


def _set_truncated_images(value: bool) -> None:
    module: Any = sys.modules["PIL.ImageFile"]
    module.LOAD_TRUNCATED_IMAGES = value
