"""Whether a folder can be written, asked before hours are spent on what goes into it."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

from fusionkit.checkpoint.folder import check_replaceable
from fusionkit.errors import CheckpointError

__all__ = ["check_target"]


def check_target(folder: str | PathLike[str]) -> None:
    """Refuses what ``save`` would refuse to write to, without changing anything there.

    Raises:
        CheckpointError: the place cannot be written, or holds what no save wrote.
    """
    target = Path(folder).absolute()
    try:
        check_replaceable(target)
        existing = next(parent for parent in target.parents if parent.exists())
        with TemporaryDirectory(prefix=f".{target.name}.probe-", dir=existing):
            pass
    except OSError as error:
        raise CheckpointError(f"cannot write {target}: {error}") from error
