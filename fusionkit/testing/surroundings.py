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
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.nn.modules import module as hooks_of_all

from fusionkit.plugins.process import Setting, restoring, shared_settings, switch

__all__ = ["put_back", "settings"]

HOOKS = tuple(
    name
    for name, value in vars(hooks_of_all).items()
    if name.startswith("_global_") and isinstance(value, dict)
)


def put_back() -> AbstractContextManager[list[str]]:
    """Gives a list which, after the block, tells what was changed in it; it is set back by then.

    Random states, environment variables, the filters of warnings and the import path are not
    among it, since importing a library may rightly change them.
    """
    return restoring(settings())


def settings() -> tuple[Setting, ...]:
    """Gives the switches of torch, PIL, and Python that no backbone has to turn."""
    cudnn = torch.backends.cudnn
    return (
        *shared_settings(),
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
        *(switch(f"cudnn.{name}", cudnn, name) for name in ("enabled", "deterministic")),
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


def _hooks_of_all() -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, tuple(getattr(hooks_of_all, name))) for name in HOOKS)


def _drop_other_hooks(known: tuple[tuple[str, tuple[int, ...]], ...]) -> None:
    for name, keys in known:
        hooks = getattr(hooks_of_all, name)
        for key in [key for key in hooks if key not in keys]:
            del hooks[key]


def _pil_settings() -> Iterator[Setting]:
    if (images := sys.modules.get("PIL.Image")) is not None:
        yield switch("PIL's MAX_IMAGE_PIXELS", images, "MAX_IMAGE_PIXELS")


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
