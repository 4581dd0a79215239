"""Which folders of the cache are in use, and when each was used last."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

__all__ = ["hold", "last_use", "release", "remove_if_idle", "touch"]

STAMP = "used"
DAY = 86_400


def hold(folder: Path) -> int | None:
    """Makes a folder, and keeps it from being removed until the descriptor given is released.

    Any number of processes hold a folder at once, and a process that dies lets go of it. Gives
    ``None`` where the system has no locks on folders.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = _lock(folder, exclusive=False)
            if descriptor is None or os.path.samestat(os.fstat(descriptor), folder.stat()):
                return descriptor
            os.close(descriptor)
        except FileNotFoundError:
            continue  # it was just removed; so a new one is made


def release(descriptor: int | None) -> None:
    """Lets go of a folder that ``hold`` holds."""
    if descriptor is not None:
        os.close(descriptor)


def touch(folder: Path) -> None:
    """Marks a folder as used now."""
    (folder / STAMP).touch()


def last_use(folder: Path) -> float:
    """Gives when a folder was used last, in seconds since 1970."""
    try:
        return (folder / STAMP).stat().st_mtime
    except OSError:
        return 0.0


def remove_if_idle(folder: Path) -> bool:
    """Removes a folder that nobody holds, and tells whether it did.

    Where there are no locks, only what nobody has used for a day is removed.
    """
    try:
        descriptor = _lock(folder, exclusive=True)
    except OSError:
        return False
    try:
        if descriptor is None and time.time() - last_use(folder) < DAY:
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()
    finally:
        release(descriptor)


def _lock(folder: Path, *, exclusive: bool) -> int | None:
    """Locks a folder; waits where it is to be shared.

    Raises:
        OSError: the folder is gone, or somebody else has it and it is wanted exclusively.
    """
    try:
        import fcntl
    except ImportError:
        return None
    from fusionkit.checkpoint.leftovers import UNLOCKABLE

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        kind = fcntl.LOCK_EX | fcntl.LOCK_NB if exclusive else fcntl.LOCK_SH
        fcntl.flock(descriptor, kind)
    except OSError as error:
        os.close(descriptor)
        if error.errno in UNLOCKABLE:
            return None
        raise
    return descriptor
