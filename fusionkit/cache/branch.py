"""``BranchCache``: the rows of one frozen branch, in a folder that processes share."""

from __future__ import annotations

import errno
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fusionkit.cache.chunk import (
    CHUNK,
    Chunk,
    DamagedChunkError,
    is_chunk,
    open_chunk,
    write_chunk,
)
from fusionkit.cache.rows import flatten, nbytes, store_as
from fusionkit.cache.table import Place, Table, build_table
from fusionkit.cache.usage import hold, release, touch
from fusionkit.checkpoint.folder import FULL
from fusionkit.checkpoint.leftovers import sweep
from fusionkit.errors import CacheError
from fusionkit.features import Features

__all__ = ["BranchCache", "CacheFullError"]

CHUNK_BYTES = 16 << 20
CHUNK_SECONDS = 60.0
"""How much work a kill may cost at most: rows are written when there are so many bytes of them,
or when the last were written so long ago."""


class CacheFullError(CacheError):
    """There is no room for more rows."""


class BranchCache:
    """The rows of one branch; made by ``FeatureCache.open_branch``.

    Any number of processes read and add rows at once: a file is written beside and renamed, is
    never changed afterwards, and is named by its own checksum. A row that two of them add lies
    there twice, which harms nothing.

    Attributes:
        name: the branch's, for messages.
        folder: where its files lie.
        dtype: what floating-point features are kept in; ``None`` for what was computed.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        dtype: torch.dtype | None,
        make_room: Callable[[int, Path], None],
    ) -> None:
        self.name = name
        self.folder = folder
        self.dtype = dtype
        self._make_room = make_room
        self._lock = hold(folder)
        self._places: dict[bytes, Place] = {}
        self._seen: set[str] = set()
        self._keys: list[bytes] = []
        self._waiting: list[dict[str, Tensor]] = []
        self._computed: dict[str, torch.dtype] = {}
        self._written = time.monotonic()
        touch(folder)
        sweep(folder / CHUNK)
        self.refresh()

    def __len__(self) -> int:
        return len(self._places)

    def refresh(self) -> None:
        """Looks for rows that others have added."""
        for path in sorted(self.folder.iterdir()):
            if path.name not in self._seen and is_chunk(path):
                self._seen.add(path.name)
                try:
                    self._index(open_chunk(path))
                except DamagedChunkError as error:
                    self.drop(error)

    def missing(self, keys: Sequence[bytes]) -> list[int]:
        """Gives the positions of the keys for which there is no row."""
        return [position for position, key in enumerate(keys) if key not in self._places]

    def put(self, keys: Sequence[bytes], features: Features) -> None:
        """Adds rows, which are on disk after ``flush`` at the latest.

        Args:
            keys: one for each sample, as ``row_key`` gives them.
            features: "b ..." in the same order.

        Raises:
            CacheFullError: the disk or the cache is full; what was there before is kept.
            CacheError: a value is too large for the type that is kept.
        """
        flat = flatten(features)
        stored = store_as(flat, self.dtype)
        if self._waiting and _layout(self._waiting[0]) != _layout(stored):
            self.flush()
        self._computed = {name: value.dtype for name, value in flat.items()}
        self._keys += keys
        self._waiting.append(stored)
        held = sum(nbytes(each.values()) for each in self._waiting)
        if held >= CHUNK_BYTES or time.monotonic() - self._written >= CHUNK_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes the rows that were put.

        Raises:
            CacheFullError: the disk or the cache is full; what was there before is kept.
        """
        keys, waiting = self._keys, self._waiting
        self._keys, self._waiting, self._written = [], [], time.monotonic()
        if not keys:
            return
        tensors = {name: torch.cat([each[name] for each in waiting]) for name in waiting[0]}
        self._make_room(nbytes(tensors.values()), self.folder)
        try:
            path = write_chunk(self.folder, keys, tensors, self._computed)
        except OSError as error:
            cause = FULL.get(error.errno or 0)
            if cause is None and error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
            raise CacheFullError(f"cannot write to {self.folder}: {cause or error}") from error
        self._seen.add(path.name)
        self._index(open_chunk(path))

    def table(self, keys: Sequence[bytes], room: int) -> Table:
        """Gives the rows of some keys, in their order.

        Args:
            keys: none of them missing.
            room: how many bytes of memory the table may take; if it does not fit, rows are read
                from disk when they are asked for.

        Raises:
            DamagedChunkError: a file is not what was written; ``drop`` it and add its rows anew.
            CacheError: rows have different shapes, so that they make no batch.
        """
        return build_table([self._places[key] for key in keys], room)

    def drop(self, error: DamagedChunkError) -> None:
        """Removes a damaged file with a warning; its rows are missing from then on."""
        warnings.warn(
            f"feature cache of branch {self.name!r}: {error}; the file is removed and its rows are "
            "computed again",
            stacklevel=2,
        )
        error.path.unlink(missing_ok=True)
        self._places = {
            key: place for key, place in self._places.items() if place[0].path != error.path
        }

    def clear(self) -> None:
        """Removes every row that it knows of."""
        for chunk in {chunk for chunk, _ in self._places.values()}:
            chunk.path.unlink(missing_ok=True)
        self._places = {}

    def close(self) -> None:
        """Lets go of the folder, which may then be removed to make room."""
        release(self._lock)
        self._lock = None

    def _index(self, chunk: Chunk) -> None:
        for row, key in enumerate(chunk.keys):
            self._places[key] = (chunk, row)


def _layout(tensors: dict[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (value.shape[1:], value.dtype) for name, value in tensors.items()}
