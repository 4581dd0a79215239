"""``survey``: what is in a checkpoint, from its headers alone."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fusionkit.checkpoint.config import CONFIG, SavedModel, parse_config
from fusionkit.saved.manifest import MANIFEST, read_manifest
from fusionkit.saved.texts import read_text
from fusionkit.tensors.header import TensorEntry
from fusionkit.tensors.source import open_source

__all__ = ["ModuleRow", "Survey", "survey"]

MOST_ROWS = 40
CLASSIFIERS = ("fc", "head", "classifier", "head.fc")


@dataclass(frozen=True, slots=True)
class ModuleRow:
    """The tensors below one module.

    Attributes:
        name: its path; empty for tensors that are in none.
        tensors: how many.
        values: in all of them.
        bytes: that they take in the file.
        dtypes: their types, in the words of the format.
        shape: of the tensor, where there is but one.
    """

    name: str
    tensors: int
    values: int
    bytes: int
    dtypes: tuple[str, ...]
    shape: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Survey:
    """What a checkpoint holds.

    Attributes:
        path: of the file or the index.
        files: the size in bytes of each file that holds tensors, by name.
        entries: type, shape and place of each tensor by name.
        metadata: what the headers say besides.
        saved: what a saved fusionkit model says of itself; ``None`` for other files.
    """

    path: Path
    files: Mapping[str, int]
    entries: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]
    saved: SavedModel | None

    @property
    def total(self) -> ModuleRow:
        """All tensors as one row."""
        return _row("", self.entries)

    def modules(self) -> tuple[ModuleRow, ...]:
        """Gives the modules, as deep as a page has room for."""
        depth, groups = 1, self._groups(1)
        while len(deeper := self._groups(depth + 1)) <= MOST_ROWS and len(deeper) > len(groups):
            depth, groups = depth + 1, deeper
        return tuple(_row(name, groups[name]) for name in sorted(groups, key=_natural))

    def guesses(self) -> tuple[str, ...]:
        """Says what names and shapes speak for; nobody has written it down."""
        said = []
        beginnings = {name.partition(".")[0] for name in self.entries}
        if len(beginnings) == 1 and len(self.entries) > 1:
            word = f"{beginnings.pop()}."
            said.append(
                f"a wrapper put {word!r:.80} before every name; loading finds that by itself"
            )
        for name, entry in self.entries.items():
            path = name.removesuffix(".weight")
            if path != name and path.endswith(CLASSIFIERS) and len(entry.shape) == 2:
                classes, width = entry.shape
                said.append(f"{path!r:.80} is a classifier of {classes:,} classes, {width:,} wide")
        first = next((each for each in self.entries.values() if len(each.shape) == 4), None)
        if first is not None and first.shape[1] <= 32:
            said.append(f"its first convolution reads {first.shape[1]} channels")
        return tuple(said)

    def _groups(self, depth: int) -> dict[str, dict[str, TensorEntry]]:
        groups: dict[str, dict[str, TensorEntry]] = {}
        for name, entry in self.entries.items():
            path = ".".join(name.split(".")[:-1][:depth])
            groups.setdefault(path, {})[name] = entry
        return groups


def survey(path: Path) -> Survey:
    """Reads the headers of a file, of shards or of a folder, and what a saved model says.

    Raises:
        CheckpointError: there is nothing, or nothing that is safetensors, or it is damaged.
    """
    source = open_source(path)
    folder = source.path.parent
    saved = None
    if path.is_dir() and (folder / MANIFEST).is_file():
        checksum = read_manifest(folder).get(CONFIG)
        saved = parse_config(read_text(folder / CONFIG, checksum), folder / CONFIG)
    files = {file.name: file.stat().st_size for file in source.files}
    return Survey(source.path, files, source.entries, source.metadata, saved)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Gives a key by which ``block.2`` stands before ``block.10``."""
    parts = re.split(r"([0-9]+)", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _row(name: str, entries: Mapping[str, TensorEntry]) -> ModuleRow:
    values = sum(math.prod(entry.shape) for entry in entries.values())
    size = sum(entry.end - entry.start for entry in entries.values())
    dtypes = tuple(sorted({entry.dtype for entry in entries.values()}))
    shape = next(iter(entries.values())).shape if len(entries) == 1 else None
    return ModuleRow(name, len(entries), values, size, dtypes, shape)
