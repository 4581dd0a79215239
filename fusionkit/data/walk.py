"""Files of a folder in a fixed order, without what is hidden and without running in circles."""

from __future__ import annotations

import os
from pathlib import Path

from fusionkit.errors import DataError

__all__ = ["SUFFIXES", "list_files", "list_folders"]

KINDS = "bmp gif jfif jpeg jpg jp2 pbm pgm png ppm tif tiff webp avif"
IMAGES = frozenset(f".{kind}" for kind in KINDS.split())
ARRAYS = frozenset((".npy", ".safetensors"))
SUFFIXES = IMAGES | ARRAYS


def list_folders(folder: Path) -> list[Path]:
    """Gives the folders directly in ``folder``, sorted, without hidden ones.

    Raises:
        DataError: it cannot be read, or a link in it leads back to a folder around it.
    """
    return [
        Path(entry.path)
        for entry in _entries(folder)
        if entry.is_dir() and _leads_on(entry, folder)
    ]


def list_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Gives the images and arrays below ``folder``, sorted, and the files of other kinds.

    Raises:
        DataError: a folder cannot be read, or a link leads back to a folder around it.
    """
    found: list[Path] = []
    others: list[Path] = []
    for entry in _entries(folder):
        path = Path(entry.path)
        if entry.is_dir():
            if _leads_on(entry, folder):
                inner, inner_others = list_files(path)
                found += inner
                others += inner_others
        elif path.suffix.lower() in SUFFIXES and (entry.is_file() or entry.is_symlink()):
            found.append(path)  # a link to nowhere is named when it is read
        else:
            others.append(path)
    return found, others


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:  # knows what is a folder without asking for each
            return sorted(
                (entry for entry in entries if not entry.name.startswith(".")),
                key=lambda entry: entry.name,
            )
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror or error}") from error


def _leads_on(entry: os.DirEntry[str], folder: Path) -> bool:
    if not entry.is_symlink():
        return True
    real = Path(entry.path).resolve()
    around = (each.resolve() for each in (folder, *folder.parents))
    if any(real == each for each in around):
        raise DataError(
            f"{entry.path} is a link to {real}, a folder that it lies in: it would be read without "
            "end; remove the link"
        )
    return True
