"""Safetensors files written by hand, as no library would write them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import torch


def entry(start: int = 0, end: int = 8, dtype: str = "F32", shape: Any = (2,)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def raw_file(path: Path, header: object, data: bytes = b"\0" * 8) -> Path:
    """Writes a file with a header given as data, as text or as bytes."""
    if isinstance(header, bytes):
        raw = header
    else:
        raw = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return path


def bits(value: torch.Tensor) -> bytes:
    """Gives the bytes of a tensor's values."""
    return value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
