"""What the whole process shares: read, compared and put back around a stranger's code."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.modules import module as hooks_of_all

__all__ = ["put_back", "settings"]

HOOKS = tuple(
    name
    for name, value in vars(hooks_of_all).items()
    if name.startswith("_global_") and isinstance(value, dict)
)


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
def put_back() -> Iterator[list[str]]:
    """Gives a list which, after the block, tells what was changed in it; it is set back by then.

    Random states, environment variables, the filters of warnings and the import path are not
    among it, since importing a library may rightly change them.
    """
    notes: list[str] = []
    watched = settings()
    before = [setting.read() for setting in watched]
    try:
        yield notes
    finally:
        for setting, old in zip(watched, before, strict=True):
            new = setting.read()
            if new != old:
                setting.write(old)
                notes.append(f"{setting.what}{_change(old, new)}")


def settings() -> tuple[Setting, ...]:
    """Gives the switches of torch, PIL, and Python that no backbone has to turn."""
    cudnn = torch.backends.cudnn
    return (
        Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
        Setting("torch's default device", _default_device, torch.set_default_device),
        Setting("the number of torch's threads", torch.get_num_threads, torch.set_num_threads),
        Setting("torch's gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
        Setting("torch's anomaly mode", torch.is_anomaly_enabled, torch.set_anomaly_enabled),
        Setting(
            "autocast on the CPU",
            lambda: torch.is_autocast_enabled("cpu"),
            lambda value: torch.set_autocast_enabled("cpu", value),
        ),
        Setting(
            "autocast on the GPU",
            lambda: torch.is_autocast_enabled("cuda"),
            lambda value: torch.set_autocast_enabled("cuda", value),
        ),
        Setting("torch's deterministic mode", _deterministic, _set_deterministic),
        Setting(
            "torch's float32 matmul precision",
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
        ),
        *(_switch(f"cudnn.{name}", cudnn, name) for name in ("enabled", "benchmark")),
        _switch("cudnn.deterministic", cudnn, "deterministic"),
        Setting("the hooks of all modules", _hooks_of_all, _drop_other_hooks),
        *_pil_settings(),
        Setting("the working folder", os.getcwd, os.chdir),
        Setting("the handlers of signals", _handlers, _set_handlers),
        Setting("the root logger", _root_logger, _set_root_logger),
        Setting("how processes are started", _start_method, _set_start_method),
        Setting("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
        Setting("the timeout of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout),
        Setting("garbage collection", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    )


def _change(old: object, new: object) -> str:
    shown = (bool, int, float, str, torch.dtype, torch.device)
    if isinstance(old, shown) and isinstance(new, shown):
        return f", from {old} to {new}"
    return ""


def _switch(what: str, owner: Any, name: str) -> Setting:
    return Setting(what, lambda: getattr(owner, name), lambda value: setattr(owner, name, value))


def _default_device() -> torch.device | None:
    """Gives what was set for all, and not what a `with torch.device(...)` around this says."""
    held = getattr(torch, "_GLOBAL_DEVICE_CONTEXT", None)
    context = getattr(held, "device_context", None)
    device: torch.device | None = None if context is None else context.device
    return device


def _deterministic() -> str:
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    on = torch.are_deterministic_algorithms_enabled()
    return "on, with warnings only" if on and warns else "on" if on else "off"


def _set_deterministic(value: str) -> None:
    torch.use_deterministic_algorithms(value != "off", warn_only="warnings" in value)


def _hooks_of_all() -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, tuple(getattr(hooks_of_all, name))) for name in HOOKS)


def _drop_other_hooks(known: tuple[tuple[str, tuple[int, ...]], ...]) -> None:
    for name, keys in known:
        hooks = getattr(hooks_of_all, name)
        for key in [key for key in hooks if key not in keys]:
            del hooks[key]


def _pil_settings() -> Iterator[Setting]:
    files, images = sys.modules.get("PIL.ImageFile"), sys.modules.get("PIL.Image")
    if files is not None:
        yield _switch("PIL's LOAD_TRUNCATED_IMAGES", files, "LOAD_TRUNCATED_IMAGES")
    if images is not None:
        yield _switch("PIL's MAX_IMAGE_PIXELS", images, "MAX_IMAGE_PIXELS")


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _set_handlers(before: dict[int, Any]) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # only the main thread may
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _root_logger() -> tuple[int, tuple[logging.Handler, ...], int]:
    root = logging.getLogger()
    return root.level, tuple(root.handlers), root.manager.disable


def _set_root_logger(before: tuple[int, tuple[logging.Handler, ...], int]) -> None:
    root = logging.getLogger()
    level, handlers, disabled = before
    root.setLevel(level)
    root.handlers[:] = handlers
    logging.disable(disabled)


def _start_method() -> str | None:
    return multiprocessing.get_start_method(allow_none=True)


def _set_start_method(value: str | None) -> None:
    multiprocessing.set_start_method(value, force=True)
