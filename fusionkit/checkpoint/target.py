"""Whether a folder can be written, asked before hours are spent on what goes into it."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

from fusionkit.errors import CheckpointError
from fusionkit.saved.manifest import MANIFEST, read_editable, read_manifest

__all__ = ["check_replaceable", "check_target"]


def check_target(folder: str | PathLike[str]) -> None:
    """Refuses what ``save`` would refuse to write to, without changing anything there.

    Raises:
        CheckpointError: the place cannot be written, or holds what no save wrote.
    """
    target = Path(folder).absolute()
    check_replaceable(target)
    try:
        existing = next(parent for parent in target.parents if parent.exists())
        with TemporaryDirectory(prefix=f".{target.name}.probe-", dir=existing):
            pass
    except OSError as error:
        raise CheckpointError(f"cannot write {target}: {error}") from error


def check_replaceable(target: Path) -> None:
    """Refuses a target that exists and is not an empty folder, or one that a save wrote.

    Raises:
        CheckpointError: says what is there, and where to save instead.
    """
    if target.name in ("", ".."):
        raise CheckpointError(f"cannot save to {target}: name a folder that save may make")
    try:
        if target.is_symlink():
            raise CheckpointError(f"{target} is a link; save to a folder itself")
        if not target.exists():
            return
        if not target.is_dir():
            raise CheckpointError(f"{target} is a file; save to a folder")
        if os.path.ismount(target):
            raise CheckpointError(
                f"{target} is where a disk is mounted, and cannot be replaced in one step; save "
                f"to a folder in it, for example {target / 'model'}"
            )
        names = {file.name for file in target.iterdir()}
    except OSError as error:
        raise CheckpointError(f"cannot save to {target}: {error}") from error
    if names:
        _check_own(target, names)


def _check_own(target: Path, names: set[str]) -> None:
    known: set[str] = set()
    if MANIFEST in names:
        try:
            editable = {name for name in read_editable(target) if _is_plain(target / name)}
            known = {MANIFEST, *read_manifest(target), *editable}
        except CheckpointError as error:
            raise CheckpointError(
                f"{target} is not empty, and it cannot be told whether a save wrote what it "
                f"holds: {error}. Choose another folder, or remove this one"
            ) from error
    strangers = sorted(names - known)
    if strangers:
        raise CheckpointError(
            f"{target} holds {strangers[0]!r:.80}, which no save wrote; choose another folder, "
            "so that nothing of yours is replaced"
        )


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
