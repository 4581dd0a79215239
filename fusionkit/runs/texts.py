"""Writes a text file in one step: whoever reads it finds the old one or the new one, whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from fusionkit.errors import DataError

__all__ = ["write_whole"]


def write_whole(path: Path, fill: Callable[[TextIO], object]) -> None:
    """Fills a file beside ``path`` and puts it there.

    Raises:
        DataError: it cannot be written; what was there before is kept.
    """
    fresh = path.with_name(f".{path.name}.new-{secrets.token_hex(6)}")
    try:
        with fresh.open("w", newline="", encoding="utf-8") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        fresh.unlink(missing_ok=True)
