"""Reads the tensors of a safetensors file into memory of its own."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from fusionkit.errors import CheckpointError
from fusionkit.tensors.header import take_header

__all__ = ["read_tensors"]


def read_tensors(path: str | Path, *, sha256: str | None = None) -> dict[str, Tensor]:
    """Reads every tensor, after checking the header.

    The bytes are copied out of the file, so that a file that is later changed or cut does not
    reach into a running program, and what is loaded is what the checksum was taken of.

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
    from safetensors import SafetensorError
    from safetensors.torch import load

    with path.open("rb") as file:
        try:
            take_header(file, path)
        except CheckpointError as error:
            if sha256 is not None:
                raise _changed(path) from error
            raise
        file.seek(0)
        data = file.read()
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise _changed(path)
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"cannot read the tensors of {path}: {error}") from error
    for name, value in tensors.items():
        if value.dtype is torch.bool and value.numel() and int(value.view(torch.uint8).max()) > 1:
            raise CheckpointError(f"{path}: {name!r:.200} is of type BOOL, but not all 0 and 1")
    return tensors


def _changed(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} has changed since it was saved (its checksum differs); restore it from a copy, "
        "or save the model again"
    )
