"""The tensors of a saved folder: one file, or shards with their index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from fusionkit.errors import CheckpointError
from fusionkit.saved.texts import check_there, read_text, write_text
from fusionkit.tensors.finite import KnownFinite
from fusionkit.tensors.header import MAX_HEADER
from fusionkit.tensors.index import parse_places
from fusionkit.tensors.read import read_tensors
from fusionkit.tensors.shards import divide, format_index, is_shard, name_shards
from fusionkit.tensors.write import write_tensors

__all__ = ["INDEX", "TENSORS", "is_contents", "read_contents", "write_contents"]

TENSORS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def write_contents(
    folder: Path, tensors: Mapping[str, Tensor], *, most: int | None, verify: bool
) -> dict[str, str]:
    """Writes the tensors, and gives the checksum of each file by its name.

    No more is copied at a time than one file holds, and only what does not lie contiguous on
    the CPU.

    Args:
        folder: where to.
        tensors: by name.
        most: how many bytes of tensors a file may hold; ``None`` for one file.
        verify: whether each file is read again and compared, bit by bit.

    Raises:
        CheckpointError: a tensor cannot be written, or did not come back as it was.
        OSError: the disk is full, or the folder cannot be written.
    """
    parts = [dict(tensors)] if most is None else divide(tensors, most)
    names = [TENSORS] if len(parts) == 1 else name_shards(len(parts))
    shards = dict(zip(names, parts, strict=True))
    checksums = {}
    for name, part in shards.items():
        checksums[name] = write_tensors(folder / name, part)
        if verify:
            _compare(folder / name, part, checksums[name])
    if len(shards) > 1:
        checksums[INDEX] = write_text(folder / INDEX, format_index(shards))
    return checksums


def read_contents(
    folder: Path,
    checksums: Mapping[str, str],
    finite: KnownFinite | None = None,
    *,
    maps: bool = False,
) -> dict[str, Tensor]:
    """Reads all tensors, each file checked against its checksum.

    Args:
        folder: where they lie.
        checksums: by name; the files are those of which ``is_contents`` is true.
        finite: takes note of the tensors that hold finite values only.
        maps: maps the files instead, as ``read_tensors`` says.

    Raises:
        CheckpointError: a file is missing or changed, or the index does not say what is in the
            shards.
    """
    for name in checksums:
        check_there(folder / name)
    if TENSORS in checksums:
        return read_tensors(folder / TENSORS, sha256=checksums[TENSORS], finite=finite, maps=maps)
    index = parse_places(
        read_text(folder / INDEX, checksums[INDEX], most=MAX_HEADER), folder / INDEX
    )
    tensors: dict[str, Tensor] = {}
    places: dict[str, str] = {}
    for name in sorted(set(checksums) - {INDEX}):
        found = read_tensors(folder / name, sha256=checksums[name], finite=finite, maps=maps)
        twice = found.keys() & tensors.keys()
        if twice:
            raise CheckpointError(f"{folder}: {min(twice)!r:.200} stands in two shards")
        tensors.update(found)
        places.update(dict.fromkeys(found, name))
    if index != places:
        wrong = min(set(index.items()) ^ set(places.items()))[0]
        raise CheckpointError(
            f"{folder / INDEX} has {wrong!r:.200} in another place than the shards; index and "
            "shards are not of one save"
        )
    return tensors


def is_contents(names: set[str]) -> bool:
    """Tells whether files of these names are what ``write_contents`` writes."""
    return names == {TENSORS} or (
        INDEX in names and len(names) > 2 and all(map(is_shard, names - {INDEX}))
    )


def _compare(path: Path, tensors: Mapping[str, Tensor], sha256: str) -> None:
    again = read_tensors(path, sha256=sha256)
    for name, value in tensors.items():
        if not _same_bits(again.get(name), value.detach().cpu()):
            raise CheckpointError(
                f"{name!r:.200} did not come back from the disk as it is in the model, so that "
                "nothing was put in place; save to another disk, and look at this one"
            )


def _same_bits(one: Tensor | None, other: Tensor) -> bool:
    if one is None or one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(_bytes(one), _bytes(other))


def _bytes(value: Tensor) -> Tensor:
    return value.resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)
