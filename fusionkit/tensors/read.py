"""Reads the tensors of a safetensors file into memory of their own, or maps them."""

from __future__ import annotations

import hashlib
import mmap
import os
from io import FileIO
from pathlib import Path

import torch
from torch import Tensor

from fusionkit.errors import CheckpointError
from fusionkit.tensors.dtypes import DTYPES
from fusionkit.tensors.finite import KnownFinite, has_finite_sum
from fusionkit.tensors.header import Header, TensorEntry, take_header

__all__ = ["read_tensors"]

CHUNK = 1 << 18
SUMMED = frozenset((torch.float32, torch.float64, torch.float16, torch.bfloat16))
"""Types whose values have a sum that costs little."""


def read_tensors(
    path: str | Path,
    *,
    sha256: str | None = None,
    finite: KnownFinite | None = None,
    known: Header | None = None,
    maps: bool = False,
) -> dict[str, Tensor]:
    """Reads every tensor, after checking the header.

    Unless the file is mapped, its bytes are read, each tensor's into memory of its own, so that a
    file that is later changed or cut does not reach into a running program, what is loaded is what
    the checksum was taken of, and no more memory is held than the tensors take.

    Args:
        path: of the file.
        sha256: the checksum that the whole file must have, in hexadecimal digits.
        finite: takes note of the tensors that hold finite values only, which costs least while
            they are read.
        known: the file's header, where it was read before.
        maps: maps the file instead: its pages are the tensors' memory, and copied where a
            tensor is written to. Then a file that is later changed in place changes what was
            not written to, and one that is cut ends the process.

    Raises:
        CheckpointError: the file is not a whole safetensors file, or has another checksum.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise CheckpointError(f"there is no file {path}")
        with path.open("rb", buffering=0) as file:
            try:
                header = take_header(file, path, known)
            except CheckpointError as error:
                if sha256 is not None:
                    raise _changed(path) from error
                raise
            return _read(file, header, path, sha256, finite, maps=maps)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error


def _read(
    file: FileIO,
    header: Header,
    path: Path,
    sha256: str | None,
    finite: KnownFinite | None,
    *,
    maps: bool,
) -> dict[str, Tensor]:
    digest = None if sha256 is None else hashlib.sha256()
    begin = file.tell()
    if digest is not None:
        file.seek(0)
        digest.update(file.read(begin))
    mapped = _map(file) if maps and header.tensors else None
    tensors: dict[str, Tensor] = {}
    for name, entry in sorted(header.tensors.items(), key=lambda item: item[1].start):
        dtype = DTYPES[entry.dtype]
        place = begin + entry.start
        count = (entry.end - entry.start) // dtype.itemsize
        source = None
        if mapped is None or not count or place % dtype.itemsize:
            value, source = torch.empty(entry.shape, dtype=dtype, device="cpu"), file
            file.seek(place)  # what lies before may have been mapped
        elif len(mapped) < begin + entry.end:
            raise _cut(path, entry)
        else:
            flat = torch.frombuffer(mapped, dtype=dtype, count=count, offset=place)
            value = flat.view(entry.shape)
        watches = finite is not None and value.dtype in SUMMED
        if _fill(value, source, entry, path, digest, watches=watches) and finite is not None:
            finite.add(value)
        tensors[name] = value
    if digest is not None and digest.hexdigest() != sha256:
        raise _changed(path)
    for name, value in tensors.items():
        if value.dtype is torch.bool and value.numel() and int(value.view(torch.uint8).max()) > 1:
            raise CheckpointError(f"{path}: {name!r:.200} is of type BOOL, but not all 0 and 1")
    return {name: tensors[name] for name in header.tensors}


def _map(file: FileIO) -> memoryview:
    """Gives the whole file as memory, of which what is written to is copied."""
    own = f"/proc/self/fd/{file.fileno()}"
    if not os.path.exists(own):  # a system without it, where the map keeps a descriptor open
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    size = os.fstat(file.fileno()).st_size
    return torch.from_file(own, shared=False, size=size, dtype=torch.uint8).numpy().data


def _fill(
    value: Tensor,
    file: FileIO | None,
    entry: TensorEntry,
    path: Path,
    digest: hashlib._Hash | None,
    *,
    watches: bool,
) -> bool:
    """Reads one tensor's bytes from where the file stands; tells if it watched and all is finite.

    Each chunk is hashed and looked at while the processor still has it in its cache. Without a
    file the bytes are there already.
    """
    if not value.numel():
        return False
    flat = value.view(-1)
    memory = flat.view(torch.uint8).numpy().data
    step = CHUNK // value.element_size()
    for start in range(0, len(memory), CHUNK):
        part = memory[start : start + CHUNK]
        if file is not None and _read_into(part, file) != len(part):
            raise _cut(path, entry)
        if digest is not None:
            digest.update(part)
        if watches:
            first = start // value.element_size()
            watches = has_finite_sum(flat[first : first + step])
    return watches


def _read_into(part: memoryview, file: FileIO) -> int:
    """Fills memory from a file, and gives how many bytes there were."""
    done = 0
    while done < len(part):
        count = file.readinto(part[done:])
        if not count:
            break
        done += count
    return done


def _cut(path: Path, entry: TensorEntry) -> CheckpointError:
    return CheckpointError(
        f"{path} was cut short while it was read: {entry.end:,} bytes of data were "
        "promised; fetch or save it again"
    )


def _changed(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} has changed since it was saved (its checksum differs); restore it from a copy, "
        "or save the model again"
    )
