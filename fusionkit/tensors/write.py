"""Writes tensors as a safetensors file that is on the disk when it is done."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from fusionkit.errors import CheckpointError
from fusionkit.tensors.dtypes import NAMES
from fusionkit.tensors.header import check_name, read_header

__all__ = ["tensors_size", "write_tensors"]

CHUNK = 1 << 20


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> str:
    """Writes a new file, flushes it to disk, and gives its SHA-256 in hexadecimal digits.

    A contiguous tensor on the CPU is written from where it lies. The file's mode is what the
    process's umask says; the library's own would let nobody else read it.

    Args:
        path: where to; nothing may be there.
        tensors: by name.
        metadata: what the header shall say besides, text by name.

    Raises:
        CheckpointError: a name or type is none that the format has; nothing is written then.
        OSError: the file exists, or the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    _check(tensors, path)
    with path.open("xb") as file:
        mode = os.fstat(file.fileno()).st_mode
    try:
        save_file(_lay_out(tensors), path, metadata={"format": "pt", **(metadata or {})})
    except SafetensorError as error:
        raise _system_error(error) from error
    path.chmod(mode & 0o777)
    read_header(path)  # so that no file is written that cannot be read
    return _flush_and_digest(path)


def tensors_size(tensors: Mapping[str, Tensor]) -> int:
    """Gives about how many bytes the file will have."""
    return sum(value.nbytes + len(name) + 100 for name, value in tensors.items())


def _check(tensors: Mapping[str, Tensor], path: Path) -> None:
    for name, value in tensors.items():
        try:
            check_name(name)
            if value.dtype not in NAMES:
                raise ValueError(f"is of type {value.dtype}, which safetensors does not have")
        except ValueError as error:
            raise CheckpointError(f"cannot write {path}: {name!r:.200} {error}") from error


def _system_error(error: Exception) -> OSError:
    """Gives the operating system's error that the library tells only in words."""
    found = re.search(r"os error (\d+)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else OSError(str(error))


def _lay_out(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gives the tensors as the library takes them: contiguous, and none over another's memory."""
    laid: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, value in tensors.items():
        plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        memory = plain.untyped_storage().data_ptr()
        if memory in taken:
            plain = plain.clone()
        taken.add(memory)
        laid[name] = plain
    return laid


def _flush_and_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        os.fsync(file.fileno())
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
