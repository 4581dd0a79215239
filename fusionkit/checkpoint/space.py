"""Whether a disk has room for what is about to be written."""

from __future__ import annotations

import shutil
from pathlib import Path

from fusionkit.errors import CheckpointError

__all__ = ["check_space"]


def check_space(fresh: Path, target: Path, needed: int) -> None:
    """Refuses to fill the disk.

    Args:
        fresh: a folder on that disk.
        target: where what is written shall be put in the end.
        needed: bytes.

    Raises:
        CheckpointError: says how much is needed and free, and that nothing is lost.
    """
    free = shutil.disk_usage(fresh).free
    if needed > free:
        kept = "what was there before is kept" if target.exists() else "nothing was written"
        raise CheckpointError(
            f"cannot save to {target}: the disk is full; {needed / 1e6:,.1f} MB are needed and "
            f"{free / 1e6:,.1f} MB are free; {kept}"
        )
