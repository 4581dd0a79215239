"""``Worker``: a process that asks one model, with what it may use of memory and time."""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

__all__ = ["End", "Worker", "start"]

PAGE = os.sysconf("SC_PAGE_SIZE")
TAIL = 20_000

Task = Callable[[Callable[[str], None]], dict[str, Any]]
"""What a worker does: it is given what to call with its next step, and gives its answer."""


@dataclass(frozen=True, slots=True)
class End:
    """How a worker ended.

    Attributes:
        answer: what it gave; ``None`` if it came to no answer.
        how: what became of it, if it came to none, in words.
        limit: what it had too little of, if it was stopped: ``"memory_gib"`` or ``"minutes"``.
        seconds: of processor time that it took.
        peak_mib: the most memory that it held.
    """

    answer: dict[str, Any] | None
    seconds: float
    peak_mib: int
    how: str = ""
    limit: str = ""


@dataclass(slots=True)
class Worker:
    """A process at work.

    Attributes:
        pid: its number, and that of its session.
        pipe: what it tells comes from here, a line of JSON at a time.
        log: what it writes to stdout and stderr.
        memory_mib: what it may hold.
        seconds: how long it may take.
        step: what it said last that it does.
    """

    pid: int
    pipe: int
    log: IO[bytes]
    memory_mib: float
    seconds: float
    began: float = field(default_factory=time.monotonic)
    step: str = "starting"
    stopped: str = ""
    _heard: bytearray = field(default_factory=bytearray)
    _answer: dict[str, Any] | None = None

    def hear(self) -> bool:
        """Reads what has come, and tells whether more may come."""
        told = os.read(self.pipe, 1 << 16)
        self._heard += told
        while b"\n" in self._heard:
            line, _, rest = self._heard.partition(b"\n")
            self._heard = bytearray(rest)
            message = json.loads(line)
            self.step = message.get("step", self.step)
            self._answer = message.get("answer", self._answer)
        return bool(told)

    def hold_to_limits(self) -> None:
        """Stops it if it holds more memory, or has taken longer, than it may."""
        if self.stopped:
            return
        if time.monotonic() - self.began > self.seconds:
            self._stop("minutes")
        elif _resident_mib(self.pid) > self.memory_mib:
            self._stop("memory_gib")

    def end(self) -> End:
        """Waits for its end, which ``hear`` foretold, and says how it came."""
        os.close(self.pipe)
        _, status, usage = os.wait4(self.pid, 0)
        with self.log as log:
            log.seek(0)
            written = log.read().decode(errors="replace")[-TAIL:]
        spent = (round(usage.ru_utime + usage.ru_stime, 1), usage.ru_maxrss // 1024)
        if self._answer is not None and not self.stopped:
            return End(self._answer, *spent)
        if self.stopped == "minutes":
            late = f"not done in {self.seconds / 60:g} min: {self.step}"
            return End(None, *spent, late, self.stopped)
        if self.stopped == "memory_gib":
            held = f"took more than {self.memory_mib / 1024:g} GiB: {self.step}"
            return End(None, *spent, held, self.stopped)
        code = os.waitstatus_to_exitcode(status)
        if code == -signal.SIGKILL:  # nobody else kills so what has done nothing wrong
            killed = f"killed by the system, as where memory runs out: {self.step}"
            return End(None, *spent, killed, "memory_gib")
        died = f"crashed with {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        return End(None, *spent, f"{died} at {self.step}: {_last_words(written)}")

    def _stop(self, limit: str) -> None:
        self.stopped = limit
        self.kill()

    def kill(self) -> None:
        """Ends it and what it started, at once."""
        for end in (os.killpg, os.kill):
            try:
                end(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def start(task: Task, *, memory_mib: float, seconds: float) -> Worker:
    """Forks a process that does ``task``.

    The process that forks must not have run any threads: a copy of it lacks them.
    """
    reading, writing = os.pipe()
    log = tempfile.TemporaryFile()  # noqa: SIM115 - the worker's end closes it
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            _live(task, writing, log)
        finally:
            os._exit(70)
    os.close(writing)
    return Worker(pid, reading, log, memory_mib, seconds)


def _live(task: Task, pipe: int, log: IO[bytes]) -> None:
    """Does the task in the forked process, and ends it."""

    def send(message: dict[str, Any]) -> None:
        try:
            with os.fdopen(os.dup(pipe), "wb") as file:
                file.write(json.dumps(message).encode() + b"\n")
        except BrokenPipeError:  # nobody waits for the answer any more
            os._exit(0)

    os.setsid()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log.fileno(), 1), (log.fileno(), 2)):
        os.dup2(source, target)
    faulthandler.enable(file=2)  # the descriptor: sys.stderr may be a test's
    try:
        send({"answer": task(lambda step: send({"step": step}))})
    except BaseException:
        os.write(2, traceback.format_exc().encode())
        os._exit(1)
    os._exit(0)


def _resident_mib(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * PAGE / 2**20
    except (OSError, IndexError, ValueError):  # it has just ended
        return 0.0


def _last_words(text: str) -> str:
    """Gives what a process wrote before it died: a fatal error's places, or the last lines."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = next((i for i, line in enumerate(lines) if line.startswith("Fatal Python")), None)
    chosen = lines[-3:] if fatal is None else lines[fatal : fatal + 4]
    return " | ".join(chosen) or "it wrote nothing"
