"""Reads the header of a safetensors file and refuses one that lies."""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit.errors import CheckpointError

__all__ = ["Header", "TensorEntry", "read_header"]

MAX_HEADER = 100_000_000
MAX_TENSORS = 200_000
WIDTHS = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2,
    "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """What the header says of one tensor.

    Attributes:
        dtype: in the words of the format, such as ``F32``.
        shape: in elements.
        start: the first byte of its data, counted from the end of the header.
        end: the byte after its last.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """The checked header of one file.

    Attributes:
        tensors: by name.
        metadata: text by name; may be empty.
    """

    tensors: dict[str, TensorEntry]
    metadata: dict[str, str]


def read_header(path: str | Path) -> Header:
    """Reads and checks a header, without reading the tensors.

    Raises:
        CheckpointError: the file cannot be read, is another format, is cut short, or its header
            is not what the format allows.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise CheckpointError(f"there is no file {path}")
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
            if length < 2 or length > min(size - 8, MAX_HEADER):
                raise CheckpointError(_what_it_is(path, start, size))
            raw = file.read(length)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    return _check(_parse(raw, path), path, size - 8 - length)


def _parse(raw: bytes, path: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise CheckpointError(f"{path}: the name {twice!r} stands twice in the header")
        return result

    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: the header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: the header is not a JSON object")
    return header


def _check(header: dict[str, Any], path: Path, data_size: int) -> Header:
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CheckpointError(f"{path}: the metadata is not a mapping of text to text")
    if len(header) > MAX_TENSORS:
        raise CheckpointError(
            f"{path}: {len(header):,} tensors, more than the {MAX_TENSORS:,} that are allowed"
        )
    tensors = {name: _entry(name, value, path) for name, value in header.items()}
    expected = 0
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != expected:
            raise CheckpointError(
                f"{path}: the data of {name!r} begins at byte {entry.start}, expected {expected}"
            )
        expected = entry.end
    if expected != data_size:
        raise CheckpointError(
            f"{path}: the header promises {expected:,} bytes of data, the file has {data_size:,}; "
            "it was cut short or is damaged, so fetch or save it again"
        )
    return Header(tensors, metadata)


def _entry(name: str, value: Any, path: Path) -> TensorEntry:
    if not name or CONTROL.search(name):
        raise CheckpointError(f"{path}: {name!r} cannot be the name of a tensor")
    try:
        if set(value) != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"has the fields {sorted(value)}")
        dtype, shape = value["dtype"], value["shape"]
        start, end = value["data_offsets"]
        numbers = [*shape, start, end]
        if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers):
            raise ValueError("has sizes that are no whole numbers")
        if dtype not in WIDTHS:
            raise ValueError(f"has the unknown type {dtype!r}")
        if end - start != math.prod(shape) * WIDTHS[dtype]:
            raise ValueError(f"takes {end - start} bytes, which {dtype} {shape} does not")
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: the entry of {name!r} {error}") from error
    return TensorEntry(dtype, tuple(shape), start, end)


def _what_it_is(path: Path, start: bytes, size: int) -> str:
    """Says what a file that is no safetensors file looks like."""
    try:
        beginning = path.open("rb").read(64)
    except OSError:
        beginning = start
    kinds = {
        b"version https://git-lfs": "a Git LFS pointer; run 'git lfs pull' for the file itself",
        b"PK\x03\x04": "a zip archive, such as torch.save writes; convert it to safetensors first",
        b"\x80\x02": "a pickle, such as torch.save wrote; convert it to safetensors first",
        b"<!DOCTYPE": "a web page; the download went wrong",
        b"<html": "a web page; the download went wrong",
    }
    for magic, kind in kinds.items():
        if beginning.startswith(magic):
            return f"{path} is not a safetensors file: it is {kind}"
    if size < 8:
        return f"{path} is not a safetensors file: it has {size} bytes; it was cut short"
    return (
        f"{path} is not a safetensors file, or was cut short: its first bytes promise a header "
        f"that its {size:,} bytes do not hold"
    )
