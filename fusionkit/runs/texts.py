"""Writes a file in one step: whoever reads it finds the old one or the new one, whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from fusionkit.errors import DataError

__all__ = ["replacing", "write_whole"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path beside ``path``, and puts there what the block has written to it.

    Raises:
        DataError: it cannot be written; what was there before is kept.
    """
    fresh = path.with_name(f".{path.name}.new-{secrets.token_hex(6)}")
    try:
        yield fresh
        fresh.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        fresh.unlink(missing_ok=True)


def write_whole(path: Path, fill: Callable[[TextIO], object]) -> None:
    """Fills a text file beside ``path`` and puts it there.

    Raises:
        DataError: it cannot be written; what was there before is kept.
    """
    with replacing(path) as fresh, fresh.open("w", newline="", encoding="utf-8") as file:
        fill(file)
        file.flush()
        os.fsync(file.fileno())
