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
from fusionkit.tensors.fill import Space, fill
from fusionkit.tensors.finite import KnownFinite
from fusionkit.tensors.header import Header, TensorEntry, take_header

__all__ = ["read_tensors"]


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
    if mapped is not None and len(mapped) < begin + header.data_size:
        raise _cut(path, header)
    entries = sorted(header.tensors.items(), key=lambda item: item[1].start)
    try:
        spaces = [_space(entry, begin, mapped) for _, entry in entries]
    except RuntimeError as error:  # what torch raises where there is no more memory
        raise CheckpointError(
            f"{path} holds {header.data_size:,} bytes, and there is not as much memory; "
            "mmap=True maps it instead of reading it"
        ) from error
    try:
        seen = fill(
            spaces,
            file,
            on_bytes=None if digest is None else digest.update,
            looks=finite is not None,
        )
    except EOFError as error:
        raise _cut(path, header) from error
    if digest is not None and digest.hexdigest() != sha256:
        raise _changed(path, digest.hexdigest())
    tensors = {name: space.value for (name, _), space in zip(entries, spaces, strict=True)}
    for (name, value), is_finite in zip(tensors.items(), seen, strict=True):
        if value.dtype is torch.bool and value.numel() and int(value.view(torch.uint8).max()) > 1:
            raise CheckpointError(f"{path}: {name!r:.200} is of type BOOL, but not all 0 and 1")
        if is_finite and finite is not None:
            finite.add(value)
    return {name: tensors[name] for name in header.tensors}


def _space(entry: TensorEntry, begin: int, mapped: memoryview | None) -> Space:
    """Gives memory for one tensor: new, or the file's own where that is in step with its type."""
    dtype = DTYPES[entry.dtype]
    place = begin + entry.start
    count = (entry.end - entry.start) // dtype.itemsize
    if mapped is None or not count or place % dtype.itemsize:
        return Space(torch.empty(entry.shape, dtype=dtype, device="cpu"), place)
    flat = torch.frombuffer(mapped, dtype=dtype, count=count, offset=place)
    return Space(flat.view(entry.shape), None)


def _map(file: FileIO) -> memoryview:
    """Gives the whole file as memory, of which what is written to is copied."""
    own = f"/proc/self/fd/{file.fileno()}"
    if not os.path.exists(own):  # a system without it, where the map keeps a descriptor open
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    size = os.fstat(file.fileno()).st_size
    return torch.from_file(own, shared=False, size=size, dtype=torch.uint8).numpy().data


def _cut(path: Path, header: Header) -> CheckpointError:
    return CheckpointError(
        f"{path} was cut short while it was read: {header.data_size:,} bytes of data were "
        "promised; fetch or save it again"
    )


def _changed(path: Path, found: str = "") -> CheckpointError:
    is_now = f": it is {found}" if found else ""
    return CheckpointError(
        f"{path} has changed since it was saved (its checksum differs{is_now}); restore it from a "
        "copy, save the model again, or correct the checksum that was given"
    )
