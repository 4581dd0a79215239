"""Files of some hundred rows: written once under their own checksum, read with suspicion."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fusionkit.cache.rows import KEY_BYTES
from fusionkit.checkpoint.leftovers import fresh_folder
from fusionkit.errors import CacheError, CheckpointError
from fusionkit.saved.texts import flush_folder
from fusionkit.tensors.dtypes import DTYPES, NAMES
from fusionkit.tensors.header import TensorEntry, take_header
from fusionkit.tensors.read import read_tensors
from fusionkit.tensors.write import write_tensors

__all__ = ["CHUNK", "Chunk", "DamagedChunkError", "is_chunk", "open_chunk", "write_chunk"]

CHUNK = "chunk"
"""What new chunks are written beside; the name of no file."""

NAME = re.compile(r"[0-9a-f]{64}\.safetensors")
KEYS = "keys"
BLOCK = 1 << 20


class DamagedChunkError(CacheError):
    """A file of the cache was cut, changed or removed.

    Attributes:
        path: of the file.
    """

    def __init__(self, path: Path, cause: object) -> None:
        super().__init__(f"{path}: {cause}")
        self.path = path


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """What the header of one file says; its values are read when they are asked for.

    Attributes:
        path: of the file, named by its checksum.
        keys: of its rows, in their order.
        entries: where each tensor lies, by name, without the keys.
        begin: the byte at which data begin.
        computed: the type of each tensor when it was computed.
    """

    path: Path
    keys: tuple[bytes, ...]
    entries: Mapping[str, TensorEntry]
    begin: int
    computed: Mapping[str, torch.dtype]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Gives the shape of one row of each tensor."""
        return {name: entry.shape[1:] for name, entry in self.entries.items()}

    def row_bytes(self) -> int:
        """Gives how many bytes one row takes."""
        total = sum(entry.end - entry.start for entry in self.entries.values())
        return total // max(1, len(self.keys))

    def read(self) -> dict[str, Tensor]:
        """Reads all tensors, "n ...", after checking the whole file's checksum.

        Raises:
            DamagedChunkError: the file is not what was written.
        """
        try:
            tensors = read_tensors(self.path, sha256=self.path.stem)
        except CheckpointError as error:
            raise DamagedChunkError(self.path, error) from error
        return {name: tensors[name] for name in self.entries}

    def check(self) -> None:
        """Reads the file once to check its checksum, and keeps nothing.

        Raises:
            DamagedChunkError: the file is not what was written.
        """
        digest = hashlib.sha256()
        try:
            with self.path.open("rb") as file:
                while block := file.read(BLOCK):
                    digest.update(block)
        except OSError as error:
            raise DamagedChunkError(self.path, error) from error
        if digest.hexdigest() != self.path.stem:
            raise DamagedChunkError(self.path, "its checksum differs")

    def read_rows(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """Reads some rows alone, "k ...", of a file that was checked before.

        Raises:
            DamagedChunkError: the file is gone or was cut since.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise DamagedChunkError(self.path, error) from error
        try:
            return {
                name: self._read_rows(descriptor, entry, rows)
                for name, entry in self.entries.items()
            }
        except OSError as error:
            raise DamagedChunkError(self.path, error) from error
        finally:
            os.close(descriptor)

    def _read_rows(self, descriptor: int, entry: TensorEntry, rows: Sequence[int]) -> Tensor:
        values = torch.empty((len(rows), *entry.shape[1:]), dtype=DTYPES[entry.dtype])
        width = (entry.end - entry.start) // len(self.keys)
        if not width:
            return values
        memory = values.flatten().view(torch.uint8).numpy().data
        with os.fdopen(os.dup(descriptor), "rb", buffering=0) as file:
            for place, row in enumerate(rows):
                file.seek(self.begin + entry.start + row * width)
                if file.readinto(memory[place * width : (place + 1) * width]) != width:
                    raise DamagedChunkError(self.path, "it was cut short while it was in use")
        return values


def write_chunk(
    folder: Path,
    keys: Sequence[bytes],
    tensors: Mapping[str, Tensor],
    computed: Mapping[str, torch.dtype],
) -> Path:
    """Writes a new file of rows and gives its path; it is there whole, or not at all.

    Several processes may write to one folder at once. What a killed one leaves is swept with
    ``fusionkit.checkpoint.leftovers.sweep(folder / CHUNK)``.

    Args:
        folder: of one branch.
        keys: of the rows.
        tensors: "n ..." by name.
        computed: the type of each tensor before it was stored.

    Raises:
        OSError: the disk is full.
    """
    table = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), KEY_BYTES)
    metadata = {"computed": json.dumps({name: NAMES[each] for name, each in computed.items()})}
    with fresh_folder(folder / CHUNK) as fresh:
        rows = {**tensors, KEYS: torch.from_numpy(table.copy())}
        digest = write_tensors(fresh / "rows", rows, metadata)
        path = folder / f"{digest}.safetensors"
        (fresh / "rows").replace(path)
    flush_folder(folder)
    return path


def open_chunk(path: Path) -> Chunk:
    """Reads the header and the keys of a file, whose values are still to be checked.

    Raises:
        DamagedChunkError: the file is none that ``write_chunk`` has written.
    """
    try:
        with path.open("rb") as file:
            header = take_header(file, path)
            begin = file.tell()
            entries = dict(header.tensors)
            keys = entries.pop(KEYS)
            count = keys.shape[0]
            if keys.dtype != "U8" or keys.shape[1:] != (KEY_BYTES,) or not entries:
                raise DamagedChunkError(path, "it has no keys of rows, or no values")
            if any(entry.shape[:1] != (count,) for entry in entries.values()):
                raise DamagedChunkError(path, "its tensors have not one row for each key")
            file.seek(begin + keys.start)
            raw = file.read(keys.end - keys.start)
        named = json.loads(header.metadata["computed"])
        computed = {name: DTYPES[named[name]] for name in entries}
    except (OSError, CheckpointError, LookupError, TypeError, ValueError) as error:
        raise DamagedChunkError(path, error) from error
    cuts = range(0, len(raw), KEY_BYTES)
    return Chunk(path, tuple(raw[at : at + KEY_BYTES] for at in cuts), entries, begin, computed)


def is_chunk(path: Path) -> bool:
    """Tells whether a file is named as a chunk is."""
    return NAME.fullmatch(path.name) is not None
