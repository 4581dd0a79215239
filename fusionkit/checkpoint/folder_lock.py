"""Locks on folders, which end with the process that has them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

__all__ = ["UNLOCKABLE", "is_folder", "lock_folder"]

UNLOCKABLE = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


def lock_folder(folder: Path, *, shared: bool = False) -> int | None:
    """Locks a folder until the descriptor is closed; ``None`` where folders have no locks.

    Args:
        folder: that is there.
        shared: whether others may share it; then it waits for who does not share, and otherwise
            for nobody.

    Raises:
        BlockingIOError: somebody else has it.
        OSError: the folder is gone, or is somebody else's.
    """
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in UNLOCKABLE:
            return None
        raise
    return descriptor


def is_folder(descriptor: int, folder: Path) -> bool:
    """Tells whether a folder is still the one that was locked."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False
