"""Small text files of a saved folder: flushed when written, checked when read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from fusionkit.errors import CheckpointError
from fusionkit.tensors.index import in_hub_cache

__all__ = ["check_there", "flush_folder", "read_text", "write_text"]

MAX_BYTES = 4_000_000


def write_text(path: Path, text: str) -> str:
    """Writes a new file, flushes it to disk, and gives its SHA-256 in hexadecimal digits."""
    raw = text.encode("utf-8")
    with path.open("xb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(raw).hexdigest()


def check_there(path: Path) -> None:
    """Refuses a file that is missing, or a link that leads out of its folder.

    The links of a hub's cache to its own blobs are followed.

    Raises:
        CheckpointError: names the folder and the file.
    """
    if not path.is_file() or (path.is_symlink() and not in_hub_cache(path)):
        raise CheckpointError(
            f"{path.parent}: {path.name} is missing; fetch it, or save the model again"
        )


def read_text(path: Path, sha256: str | None = None, most: int = MAX_BYTES) -> str:
    """Reads a file, and checks it if its checksum is given.

    Raises:
        CheckpointError: it is missing, longer than ``most`` bytes, no text, or has another
            checksum.
    """
    check_there(path)
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
        if sha256 is not None and hashlib.sha256(raw).hexdigest() != sha256:
            raise CheckpointError(
                f"{path} has changed since it was saved (its checksum differs); restore it from "
                "a copy, or save the model again"
            )
        if len(raw) > most:
            raise CheckpointError(f"{path} is longer than {most:,} bytes; it is damaged")
        return raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error


def flush_folder(folder: Path) -> None:
    """Flushes the list of a folder's files to disk, where the system lets one."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
