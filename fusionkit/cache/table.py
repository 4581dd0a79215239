"""The rows of one split in its order, in memory or left on disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from fusionkit.cache.chunk import Chunk
from fusionkit.cache.rows import nbytes, restore
from fusionkit.errors import CacheError
from fusionkit.features import Features

__all__ = ["Place", "Table", "build_table"]

Place = tuple[Chunk, int]
"""A file and the row in it."""


class Table(ABC):
    """Gives rows by their positions in the split that the table was made for."""

    @abstractmethod
    def take(self, positions: Tensor) -> Features:
        """Gives the features of some samples, in the type that they were computed in.

        Args:
            positions: "b", from 0.

        Raises:
            DamagedChunkError: a file that is read from disk was cut or removed since.
        """

    @property
    @abstractmethod
    def memory(self) -> int:
        """How many bytes of memory it takes."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class MemoryTable(Table):
    """All rows as tensors "n ...", so that a batch is a selection.

    Attributes:
        tensors: by name, in the type that is kept.
        computed: the type that each was computed in.
    """

    tensors: Mapping[str, Tensor]
    computed: Mapping[str, torch.dtype]

    def take(self, positions: Tensor) -> Features:
        """Selects rows; nothing is read."""
        return restore(
            {
                name: value.index_select(0, positions).to(self.computed[name])
                for name, value in self.tensors.items()
            }
        )

    @property
    def memory(self) -> int:
        """How many bytes of memory it takes."""
        return nbytes(self.tensors.values())


@final
@dataclass(frozen=True, slots=True, eq=False)
class DiskTable(Table):
    """Rows that are read one by one from files whose checksums were checked.

    What is read often stays in the system's own cache of the disk.

    Attributes:
        places: of each position.
    """

    places: Sequence[Place]

    def take(self, positions: Tensor) -> Features:
        """Reads rows, each file once."""
        wanted = positions.tolist()
        by_chunk: dict[Chunk, list[int]] = defaultdict(list)
        for slot, position in enumerate(wanted):
            by_chunk[self.places[position][0]].append(slot)
        first = next(iter(by_chunk))
        out: dict[str, Tensor] = {}
        for chunk, slots in by_chunk.items():
            found = chunk.read_rows([self.places[wanted[slot]][1] for slot in slots])
            for name, value in found.items():
                if name not in out:
                    out[name] = value.new_empty((len(wanted), *value.shape[1:]))
                out[name][slots] = value
        return restore({name: value.to(first.computed[name]) for name, value in out.items()})

    @property
    def memory(self) -> int:
        """Nothing of the values is kept in memory."""
        return 0


def build_table(places: Sequence[Place], room: int) -> Table:
    """Gives the table of some rows, in memory if they fit.

    Every file is read once and its checksum checked.

    Args:
        places: where each row lies, in the order of the split.
        room: how many bytes of memory it may take.

    Raises:
        DamagedChunkError: a file is not what was written.
        CacheError: rows have different shapes, so that they make no batch.
    """
    by_chunk: dict[Chunk, list[int]] = defaultdict(list)
    for position, (chunk, _) in enumerate(places):
        by_chunk[chunk].append(position)
    _check_alike(list(by_chunk))
    first = next(iter(by_chunk))
    if first.row_bytes() * len(places) > room:
        for chunk in by_chunk:
            chunk.check()
        return DiskTable(tuple(places))
    tensors: dict[str, Tensor] = {}
    for chunk, positions in by_chunk.items():
        rows = torch.tensor([places[position][1] for position in positions])
        into = torch.tensor(positions)
        for name, value in chunk.read().items():
            if name not in tensors:
                tensors[name] = value.new_empty((len(places), *value.shape[1:]))
            tensors[name].index_copy_(0, into, value.index_select(0, rows))
    return MemoryTable(tensors, dict(first.computed))


def _check_alike(chunks: Sequence[Chunk]) -> None:
    shapes = chunks[0].shapes()
    for chunk in chunks:
        if chunk.shapes() != shapes or chunk.computed != chunks[0].computed:
            raise CacheError(
                f"samples have features of different shapes, {shapes} and {chunk.shapes()}, so "
                "they cannot be joined to batches again; prepare all samples to one size"
            )
