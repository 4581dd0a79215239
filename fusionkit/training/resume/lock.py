"""Keeps a second process out of a run's folder."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fusionkit.checkpoint.folder_lock import UNLOCKABLE
from fusionkit.errors import ResumeError

__all__ = ["LOCK", "hold_run"]

LOCK = ".lock"
HELD: set[tuple[int, int, int]] = set()
"""Process, device and file of the locks that are held here: a process is not kept out by itself."""


@contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Holds a run's folder until the block ends, or the process does.

    The lock is the process's own: workers that it forked, and that live a little longer when it
    is killed, do not hold it.

    Raises:
        ResumeError: a living process holds it; names the process.
        OSError: the folder cannot be written.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    path = folder / LOCK
    if path.exists() and _key(path.stat()) in HELD:
        raise _in_use(path)  # without opening it: to close it again would give up the lock
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    key = _key(os.fstat(descriptor))
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in UNLOCKABLE:
            os.close(descriptor)
            raise _in_use(path) from error
        warnings.warn(
            f"{folder} lies on a disk without locks; see to it that no second run uses it",
            stacklevel=4,
        )
    HELD.add(key)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        HELD.discard(key)
        os.close(descriptor)


def _key(found: os.stat_result) -> tuple[int, int, int]:
    return os.getpid(), found.st_dev, found.st_ino


def _in_use(path: Path) -> ResumeError:
    who = path.read_text(errors="replace")[:200] or "another process"
    return ResumeError(
        f"the run in {path.parent} is in use by {who}; wait for it to end, or choose another folder"
    )
