"""Reads the tensors of a safetensors file into memory of its own."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from fusionkit.errors import CheckpointError
from fusionkit.tensors.header import read_header

__all__ = ["read_tensors"]


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Reads every tensor, after checking the header.

    The bytes are copied out of the file, so that a file that is later changed or cut does not
    reach into a running program.

    Raises:
        CheckpointError: the file is not a whole safetensors file.
    """
    read_header(path)
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(Path(path).read_bytes())
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"cannot read the tensors of {path}: {error}") from error
