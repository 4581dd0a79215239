"""Watches a call: what it opens, changes, starts and takes of memory."""

from __future__ import annotations

import os
import resource
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Guard", "limit_process", "peak", "reset_peak", "resident"]

FORBIDDEN = (
    "os.mkdir", "os.rmdir", "os.remove", "os.rename", "os.link", "os.symlink", "os.truncate",
    "os.chmod", "os.chown", "os.utime", "os.system", "os.exec", "os.fork", "os.forkpty",
    "os.posix_spawn", "os.spawn", "os.kill", "os.putenv", "subprocess.", "shutil.", "socket.",
    "urllib.", "http.", "ftplib.", "pickle.find_class", "tempfile.", "webbrowser.", "pty.",
)  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
MEGABYTE = 1 << 20


class Guard:
    """One per process, since an audit hook stays."""

    def __init__(self, readable: tuple[Path, ...]) -> None:
        """Lets calls read below these folders and nowhere else."""
        self._readable = tuple(str(path.resolve()) for path in readable)
        self._armed = False
        self._seen: list[str] = []
        sys.addaudithook(self._hear)

    @contextmanager
    def watch(self, folder: Path) -> Iterator[list[str]]:
        """Gives a list that at the end says what was done that must not be."""
        before = _listing(folder)
        self._seen = []
        self._folder = str(folder.resolve())
        reset_peak()
        self._armed = True
        try:
            yield self._seen
        finally:
            self._armed = False
        if _listing(folder) != before:
            self._seen.append("the folder has changed")

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._armed:
            return
        if event == "open":
            self._hear_open(*arguments)
        elif event.startswith(FORBIDDEN):
            self._seen.append(f"{event} {arguments!r:.200}")

    def _hear_open(self, path: Any, mode: Any, flags: Any) -> None:
        if isinstance(path, int):
            return
        # os.open of a folder, for its lock, comes without a mode.
        if flags & WRITES:
            self._seen.append(f"opened for writing: {path!r:.200}")
        self._armed = False  # resolving a path is no business of the call
        real = os.path.realpath(os.fsdecode(path))
        self._armed = True
        if not real.startswith((self._folder, *self._readable)):
            self._seen.append(f"read outside of its folder: {path!r:.200}")


def limit_process(memory: int) -> None:
    """Refuses this process any file that grows, and memory beyond what it has and ``memory``."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 * MEGABYTE, 8 * MEGABYTE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("error")


def reset_peak() -> None:
    """Lets ``peak`` count from here."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Gives the most memory that was resident since ``reset_peak``, in bytes."""
    return _status("VmHWM")


def resident() -> int:
    """Gives the memory that is resident now, in bytes."""
    return _status("VmRSS")


def _status(field: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))


def _listing(folder: Path) -> list[tuple[str, int, int]]:
    found = []
    for path in sorted(folder.parent.rglob("*")):
        facts = path.lstat()
        found.append((str(path), facts.st_size, facts.st_mtime_ns))
    return found
