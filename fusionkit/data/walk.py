"""Files of a folder in a fixed order, without what is hidden and without running in circles."""

from __future__ import annotations

import os
from pathlib import Path

from fusionkit.errors import DataError

__all__ = ["SUFFIXES", "list_files", "list_folders"]

KINDS = "bmp gif jfif jpeg jpg jp2 pbm pgm png ppm tif tiff webp avif"
IMAGES = frozenset(f".{kind}" for kind in KINDS.split())
ARRAYS = frozenset((".npy", ".pt"))
SUFFIXES = IMAGES | ARRAYS


def list_folders(folder: Path) -> list[Path]:
    """Gives the folders directly in ``folder``, sorted, without hidden ones.

    Raises:
        DataError: it cannot be read, or a link in it leads back to a folder around it.
    """
    return [path for path in _entries(folder) if path.is_dir() and _leads_on(path, folder)]


def list_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Gives the images and arrays below ``folder``, sorted, and the files of other kinds.

    Raises:
        DataError: a folder cannot be read, or a link leads back to a folder around it.
    """
    found: list[Path] = []
    others: list[Path] = []
    for path in _entries(folder):
        if path.is_dir():
            if _leads_on(path, folder):
                inner, inner_others = list_files(path)
                found += inner
                others += inner_others
        elif path.suffix.lower() in SUFFIXES and (path.is_file() or path.is_symlink()):
            found.append(path)  # a link to nowhere is named when it is read
        else:
            others.append(path)
    return found, others


def _entries(folder: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror or error}") from error
    return [folder / name for name in names if not name.startswith(".")]


def _leads_on(path: Path, folder: Path) -> bool:
    if not path.is_symlink():
        return True
    real = path.resolve()
    around = (each.resolve() for each in (folder, *folder.parents))
    if any(real == each for each in around):
        raise DataError(
            f"{path} is a link to {real}, a folder that it lies in: it would be read without end; "
            "remove the link"
        )
    return True
