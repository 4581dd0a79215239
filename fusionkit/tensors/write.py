"""Writes tensors as a safetensors file, one after the other, without a copy of them all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from fusionkit.errors import CheckpointError
from fusionkit.tensors.dtypes import NAMES
from fusionkit.tensors.header import check_name, parse_header

__all__ = ["tensors_size", "write_tensors"]


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Writes a new file, flushes it to disk, and gives its SHA-256 in hexadecimal digits.

    A contiguous tensor on the CPU is written from where it lies. Others are copied one at a
    time. The file's mode is what the process's umask says.

    Raises:
        CheckpointError: a name or type is none that the format has; nothing is written then.
        OSError: the file exists, or the disk is full.
    """
    # The widest types first, so that every tensor begins at a multiple of its own width.
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header = _header(order, tensors, path)
    digest = hashlib.sha256()
    with path.open("xb") as file:
        for name in (None, *order):
            chunk = header if name is None else _bytes_of(tensors[name])
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def tensors_size(tensors: Mapping[str, Tensor]) -> int:
    """Gives about how many bytes the file will have."""
    return sum(value.nbytes + len(name) + 100 for name, value in tensors.items())


def _header(order: list[str], tensors: Mapping[str, Tensor], path: Path) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in order:
        value = tensors[name]
        try:
            check_name(name)
            if value.dtype not in NAMES:
                raise ValueError(f"is of type {value.dtype}, which safetensors does not have")
        except ValueError as error:
            raise CheckpointError(f"cannot write {path}: {name!r:.200} {error}") from error
        start, end = end, end + value.nbytes
        shape = list(value.shape)
        entries[name] = {"dtype": NAMES[value.dtype], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    parse_header(text, end, path)  # so that no file is written that cannot be read
    return len(text).to_bytes(8, "little") + text


def _bytes_of(value: Tensor) -> bytes | memoryview:
    if not value.numel():
        return b""
    plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().data
