"""Reads the tensors of a safetensors file into memory of their own."""

from __future__ import annotations

import hashlib
from io import BufferedReader
from pathlib import Path

import torch
from torch import Tensor

from fusionkit.errors import CheckpointError
from fusionkit.tensors.dtypes import DTYPES
from fusionkit.tensors.header import Header, TensorEntry, take_header

__all__ = ["read_tensors"]

CHUNK = 1 << 20


def read_tensors(path: str | Path, *, sha256: str | None = None) -> dict[str, Tensor]:
    """Reads every tensor, after checking the header.

    The bytes are read out of the file, each tensor's into memory of its own, so that a file that
    is later changed or cut does not reach into a running program, what is loaded is what the
    checksum was taken of, and no more memory is held than the tensors take.

    Args:
        path: of the file.
        sha256: the checksum that the whole file must have, in hexadecimal digits.

    Raises:
        CheckpointError: the file is not a whole safetensors file, or has another checksum.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise CheckpointError(f"there is no file {path}")
        with path.open("rb") as file:
            try:
                header = take_header(file, path)
            except CheckpointError as error:
                if sha256 is not None:
                    raise _changed(path) from error
                raise
            return _read(file, header, path, sha256)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error


def _read(
    file: BufferedReader, header: Header, path: Path, sha256: str | None
) -> dict[str, Tensor]:
    digest = None if sha256 is None else hashlib.sha256()
    if digest is not None:
        begin = file.tell()
        file.seek(0)
        digest.update(file.read(begin))
    tensors: dict[str, Tensor] = {}
    for name, entry in sorted(header.tensors.items(), key=lambda item: item[1].start):
        value = torch.empty(entry.shape, dtype=DTYPES[entry.dtype], device="cpu")
        _fill(value, file, entry, path, digest)
        tensors[name] = value
    if digest is not None and digest.hexdigest() != sha256:
        raise _changed(path)
    for name, value in tensors.items():
        if value.dtype is torch.bool and value.numel() and int(value.view(torch.uint8).max()) > 1:
            raise CheckpointError(f"{path}: {name!r:.200} is of type BOOL, but not all 0 and 1")
    return {name: tensors[name] for name in header.tensors}


def _fill(
    value: Tensor,
    file: BufferedReader,
    entry: TensorEntry,
    path: Path,
    digest: hashlib._Hash | None,
) -> None:
    """Reads one tensor's bytes from where the file stands."""
    if not value.numel():
        return
    memory = value.flatten().view(torch.uint8).numpy().data
    for start in range(0, len(memory), CHUNK):
        part = memory[start : start + CHUNK]
        if file.readinto(part) != len(part):
            raise CheckpointError(
                f"{path} was cut short while it was read: {entry.end:,} bytes of data were "
                "promised; fetch or save it again"
            )
        if digest is not None:
            digest.update(part)


def _changed(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} has changed since it was saved (its checksum differs); restore it from a copy, "
        "or save the model again"
    )
