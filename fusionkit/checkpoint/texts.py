"""Small text files of a saved folder: flushed when written, checked when read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from fusionkit.errors import CheckpointError

__all__ = ["flush_folder", "read_text", "write_text"]

MAX_BYTES = 4_000_000


def write_text(path: Path, text: str) -> str:
    """Writes a new file, flushes it to disk, and gives its SHA-256 in hexadecimal digits."""
    raw = text.encode("utf-8")
    with path.open("xb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(raw).hexdigest()


def read_text(path: Path, sha256: str | None = None) -> str:
    """Reads a file, and checks it if its checksum is given.

    Raises:
        CheckpointError: it is missing, too long, no text, or has another checksum.
    """
    if path.is_symlink() or not path.is_file():
        raise CheckpointError(f"{path.parent}: {path.name} is missing; save the model again")
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if sha256 is not None and hashlib.sha256(raw).hexdigest() != sha256:
            raise CheckpointError(
                f"{path} has changed since it was saved (its checksum differs); restore it from "
                "a copy, or save the model again"
            )
        if len(raw) > MAX_BYTES:
            raise CheckpointError(f"{path} is longer than {MAX_BYTES:,} bytes; it is damaged")
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
