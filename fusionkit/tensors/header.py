"""Reads the header of a safetensors file and refuses one that lies."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from fusionkit.errors import CheckpointError
from fusionkit.tensors.dtypes import DTYPES
from fusionkit.tensors.foreign import LONGEST_MAGIC, describe_foreign

__all__ = ["Header", "TensorEntry", "check_name", "parse_header", "read_header", "take_header"]

MAX_HEADER = 100_000_000
MAX_TENSORS = 200_000
MAX_DIMENSIONS = 64
MAX_SIZE = 2**63


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
        raw: what it was read from.
        data_size: how many bytes lie behind it.
    """

    tensors: dict[str, TensorEntry]
    metadata: dict[str, str]
    raw: bytes = field(default=b"", repr=False, compare=False)
    data_size: int = field(default=0, repr=False, compare=False)


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
        with path.open("rb") as file:
            header = take_header(file, path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    return header


def take_header(file: BinaryIO, path: Path, known: Header | None = None) -> Header:
    """Reads and checks the header of an open file, and leaves the file where its data begin.

    Args:
        file: that is read.
        path: of the file, for messages.
        known: the header that the file had before, which is not checked again if it is the same.
    """
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    length = int.from_bytes(start, "little") if len(start) == 8 else 0
    if not 2 <= length <= min(size - 8, MAX_HEADER):
        start += file.read(LONGEST_MAGIC - len(start))
        raise CheckpointError(describe_foreign(path, start, size))
    raw = file.read(length)
    data_size = size - 8 - length
    if known is not None and (raw, data_size) == (known.raw, known.data_size):
        return known
    return parse_header(raw, data_size, path)


def parse_header(raw: bytes, data_size: int, path: Path) -> Header:
    """Checks the text of a header against the format and the size of the data behind it."""
    # Counted before it is parsed: parsing takes seconds where there are millions.
    if raw.count(b'"data_offsets"') > MAX_TENSORS:
        raise CheckpointError(f"{path}: more than the {MAX_TENSORS:,} tensors that are allowed")
    header = _parse(raw, path)
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
                f"{path}: the data of {name!r:.200} begin at byte {entry.start}, "
                f"expected {expected}"
            )
        expected = entry.end
    if expected != data_size:
        raise CheckpointError(
            f"{path}: the header promises {expected:,} bytes of data, the file has {data_size:,}; "
            "it was cut short or is damaged, so fetch or save it again"
        )
    return Header(tensors, metadata, raw, data_size)


def check_name(name: str) -> None:
    """Refuses what cannot be the name of a tensor.

    Raises:
        ValueError: says why.
    """
    if not name or not name.isprintable():
        raise ValueError("cannot be the name of a tensor: it is empty or cannot be printed")
    if name == "__metadata__":
        raise ValueError("cannot be the name of a tensor: the format keeps it for itself")


def _parse(raw: bytes, path: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            seen: set[str] = set()
            twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise CheckpointError(f"{path}: the name {twice!r:.200} stands twice in the header")
        return result

    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: the header is not JSON: {error}") from error
    if not isinstance(header, dict) or not raw.startswith(b"{"):
        raise CheckpointError(f"{path}: the header does not begin as a JSON object")
    return header


def _entry(name: str, value: Any, path: Path) -> TensorEntry:
    try:
        check_name(name)
        if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
            raise ValueError("does not have just the fields dtype, shape and data_offsets")
        dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise ValueError(f"has the unknown type {dtype!r:.80}")
        if not (_are_sizes(shape) and _are_sizes(offsets) and len(offsets) == 2):
            raise ValueError("has sizes or offsets that are no whole numbers")
        start, end = offsets
        width = DTYPES[dtype].itemsize
        if len(shape) > MAX_DIMENSIONS or math.prod(n or 1 for n in shape) * width >= MAX_SIZE:
            raise ValueError(f"has a shape that no tensor can have: {shape!r:.80}")
        if end - start != math.prod(shape) * width:
            raise ValueError(f"takes {end - start} bytes, which {dtype} {shape} does not")
    except ValueError as error:
        raise CheckpointError(f"{path}: the entry {name!r:.200} {error}") from error
    return TensorEntry(dtype, tuple(shape), start, end)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < MAX_SIZE for n in value)
