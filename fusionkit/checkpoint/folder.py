"""Writes a folder beside its target and puts it in place in one step."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from fusionkit.checkpoint.exchange import swap
from fusionkit.checkpoint.leftovers import fresh_folder, set_aside, sweep
from fusionkit.checkpoint.target import check_replaceable
from fusionkit.errors import CheckpointError
from fusionkit.saved.manifest import write_manifest
from fusionkit.saved.texts import flush_folder

__all__ = ["replace_folder"]

ATTEMPTS = 100
PAUSE = 0.05
FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file may not be that large here, by a limit of the disk or the process",
}


def replace_folder(target: Path, fill: Callable[[Path], Mapping[str, str]]) -> None:
    """Fills a new folder and puts it at ``target``, which at any time is the old or the new one.

    A target that exists is replaced if it holds nothing but what its own manifest lists. Old
    and new folder change places in one step. Where the system has no such step, the old one is
    first set aside; if the process is killed just then, the next load or save puts it back.
    Of several processes that save to one target, the last one wins.

    Args:
        target: where the folder shall be.
        fill: writes files into a new folder, flushes them, and gives their checksums by name.

    Raises:
        CheckpointError: the target cannot be written, or holds files of somebody else.
    """
    target = target.absolute()
    check_replaceable(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target)
        with fresh_folder(target) as fresh:
            write_manifest(fresh, fill(fresh))
            flush_folder(fresh)
            check_replaceable(target)
            _put_in_place(fresh, target)
            flush_folder(target.parent)
    except OSError as error:
        cause = FULL.get(error.errno or 0, str(error))
        kept = "what was there before is kept" if target.exists() else "nothing was written"
        raise CheckpointError(f"cannot save to {target}: {cause}; {kept}") from error


def _put_in_place(fresh: Path, target: Path) -> None:
    for _ in range(ATTEMPTS):
        try:
            if not target.exists():
                fresh.rename(target)
            elif not swap(fresh, target):
                with set_aside(target):
                    fresh.rename(target)
                    flush_folder(target.parent)  # before the old one is removed
            return
        except OSError as error:
            # Another process put its folder there, or took it away, between two of the lines.
            if error.errno not in (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EAGAIN):
                raise
            time.sleep(PAUSE)
    raise OSError(errno.EBUSY, "other processes keep replacing it", str(target))
