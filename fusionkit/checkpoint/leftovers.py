"""Folders beside a target: those in use, and those that killed saves have left."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fusionkit.checkpoint.folder_lock import is_folder, lock_folder

__all__ = ["fresh_folder", "recover", "set_aside", "sweep"]

DAY = 86_400


@contextmanager
def fresh_folder(target: Path) -> Iterator[Path]:
    """Gives a new folder beside the target, and removes what is at its place afterwards."""
    while True:
        folder = _beside(target, "new")
        folder.mkdir()
        try:
            lock = lock_folder(folder)
        except (FileNotFoundError, BlockingIOError):
            continue  # another process's sweep was quicker
        if lock is None or is_folder(lock, folder):
            break
        os.close(lock)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@contextmanager
def set_aside(target: Path) -> Iterator[None]:
    """Moves the target out of the way, and removes it if the block puts another in its place."""
    lock = lock_folder(target)
    old = _beside(target, "old")
    try:
        target.rename(old)
        yield
    finally:
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        elif old.exists():
            old.rename(target)
        if lock is not None:
            os.close(lock)


def recover(target: Path) -> None:
    """Puts back the old folder where a save was killed while it lay aside."""
    if target.exists():
        return
    for leftover in _leftovers(target):
        if leftover.name.startswith(f".{target.name}.old-") and not target.exists():
            with _abandoned(leftover) as abandoned:
                if abandoned:
                    leftover.rename(target)


def sweep(target: Path) -> None:
    """Removes what killed saves have left beside the target, and puts back what they took away.

    What a living process holds stays. It is told by a lock, which ends with its process. Where
    there are no locks, only what nobody has touched for a day is removed.
    """
    recover(target)
    for leftover in _leftovers(target):
        with _abandoned(leftover) as abandoned:
            if abandoned:
                shutil.rmtree(leftover, ignore_errors=True)


def _beside(target: Path, kind: str) -> Path:
    return target.with_name(f".{target.name}.{kind}-{secrets.token_hex(6)}")


def _leftovers(target: Path) -> list[Path]:
    name = re.compile(rf"\.{re.escape(target.name)}\.(new|old)-[0-9a-f]{{12}}")
    try:
        return sorted(path for path in target.parent.iterdir() if name.fullmatch(path.name))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


@contextmanager
def _abandoned(folder: Path) -> Iterator[bool]:
    """Tells whether nobody works in a folder, and keeps others out of it until the block ends."""
    try:
        lock = lock_folder(folder)
        unused = lock is not None or time.time() - folder.stat().st_mtime > DAY
    except OSError:
        yield False
        return
    try:
        yield unused
    finally:
        if lock is not None:
            os.close(lock)
