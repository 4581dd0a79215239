"""Which folders of the cache are in use, and when each was used last."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from fusionkit.checkpoint.folder_lock import is_folder, lock_folder

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
            descriptor = lock_folder(folder, shared=True)
        except FileNotFoundError:
            continue  # it was just removed; so a new one is made
        if descriptor is None or is_folder(descriptor, folder):
            return descriptor
        os.close(descriptor)


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
        descriptor = lock_folder(folder)
    except OSError:
        return False
    try:
        if descriptor is None and time.time() - last_use(folder) < DAY:
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()
    finally:
        release(descriptor)
