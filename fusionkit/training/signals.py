"""``stop_signals``: a run that is told to end saves first."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from fusionkit.errors import ConfigError

__all__ = ["StopRequest", "stop_signals"]

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class StopRequest:
    """Whether the process has been told to end; true in an ``if`` once it has.

    Attributes:
        signal: the number of the signal that came, or ``None``.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def leave(self) -> None:
        """Ends the process with 128 and the signal's number (143), if a signal came.

        Raises:
            SystemExit: so that ``finally`` blocks and ``with`` blocks end as they should.
        """
        if self.signal is not None:
            raise SystemExit(128 + self.signal)


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Notes SIGTERM and SIGHUP instead of dying of them; a second one ends the process at once.

    Python runs neither ``finally`` nor ``atexit`` when one of these comes, so that what was
    learned since the last save would be lost. Ask between steps::

        with stop_signals() as stop:
            for ...:
                train one step
                if stop:
                    save_run(...)
                    stop.leave()

    Ctrl-C stays as it is. Under Lightning, ``SaveOnSignal`` does it.

    Raises:
        ConfigError: this is not the main thread, the only one that may handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError("stop_signals works in the main thread only; enter it there")
    request, owner = StopRequest(), os.getpid()
    before: dict[int, Any] = {}

    def take(number: int, frame: FrameType | None) -> None:
        if request or os.getpid() != owner:  # a second one, or a worker that was forked off
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        request.signal = number

    try:
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                before[number] = signal.signal(number, take)
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
