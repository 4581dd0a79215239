"""Two folders change places in one step, so that neither is ever missing."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

__all__ = ["swap"]

AT_FDCWD = -100
SWAP = 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS
UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def swap(one: Path, other: Path) -> bool:
    """Lets two folders change places, or gives ``False`` where the system cannot do that.

    Raises:
        OSError: one of them does not exist, or must not be moved.
    """
    first, second = os.fsencode(one), os.fsencode(other)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            failed = library.renamex_np(first, second, SWAP)
        else:
            failed = library.renameat2(AT_FDCWD, first, AT_FDCWD, second, SWAP)
    except (AttributeError, OSError, TypeError):  # an older library, or Windows
        return False
    if not failed:
        return True
    code = ctypes.get_errno()
    if code in UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))
