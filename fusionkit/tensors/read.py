"""Reads the tensors of a safetensors file into memory of its own."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch
from torch import Tensor

from fusionkit.errors import CheckpointError
from fusionkit.tensors.dtypes import DTYPES
from fusionkit.tensors.header import TensorEntry, take_header

__all__ = ["read_tensors"]


def read_tensors(path: str | Path, *, sha256: str | None = None) -> dict[str, Tensor]:
    """Reads every tensor, after checking the header, in one pass over the file.

    The bytes are copied out of the file, so that a file that is later changed or cut does not
    reach into a running program. All tensors share that one copy.

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
        return _read(path, sha256)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error


def _read(path: Path, sha256: str | None) -> dict[str, Tensor]:
    with path.open("rb") as file:
        try:
            header, begun = take_header(file, path)
        except CheckpointError as error:
            if sha256 is not None:
                raise _changed(path) from error
            raise
        data = bytearray(os.fstat(file.fileno()).st_size - len(begun))
        if file.readinto(data) != len(data):
            raise CheckpointError(f"{path} was cut short while it was read; read it again")
    if sha256 is not None:
        digest = hashlib.sha256(begun)
        digest.update(data)
        if digest.hexdigest() != sha256:
            raise _changed(path)
    whole = torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
    return {name: _cut_out(whole, name, entry, path) for name, entry in header.tensors.items()}


def _cut_out(whole: Tensor, name: str, entry: TensorEntry, path: Path) -> Tensor:
    dtype = DTYPES[entry.dtype]
    raw = whole[entry.start : entry.end]
    if dtype is torch.bool and raw.numel() and int(raw.max()) > 1:
        raise CheckpointError(f"{path}: {name!r:.200} is of type BOOL, but not all 0 and 1")
    if raw.data_ptr() % dtype.itemsize or raw.storage_offset() % dtype.itemsize:
        raw = raw.clone()
    return raw.view(dtype).view(entry.shape)


def _changed(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} has changed since it was saved (its checksum differs); restore it from a copy, "
        "or save the model again"
    )
