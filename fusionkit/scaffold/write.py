"""Writes a folder of new files, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from fusionkit.errors import ConfigError

__all__ = ["write_folder"]


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Makes ``folder`` with these files.

    They are written into a folder beside it, which then gets its name, so that nobody finds half
    of them.

    Args:
        folder: what is made; may be there if it is empty.
        files: their texts by their paths in it.

    Raises:
        ConfigError: something is there already, or the files cannot be written.
    """
    if not folder.parent.is_dir():
        raise ConfigError(f"there is no folder {folder.parent} to make {folder.name} in")
    if folder.is_symlink() or folder.is_file():
        raise ConfigError(f"{folder} is there already, and is no folder; nothing was written")
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(
            f"{folder} is there already, and is not empty; nothing was written. "
            "Give another name or another --directory"
        )
    beside = folder.parent / f".{folder.name}.{uuid4().hex[:8]}"
    try:
        for path, text in files.items():
            target = beside / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="\n")
        if folder.is_dir():
            folder.rmdir()  # Windows renames onto no folder, not even an empty one
        beside.rename(folder)
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error}") from error
    finally:
        if beside.exists():
            shutil.rmtree(beside, ignore_errors=True)
