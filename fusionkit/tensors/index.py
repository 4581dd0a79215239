"""Reads the index of a sharded set, and holds it against the shards' own headers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fusionkit.errors import CheckpointError
from fusionkit.tensors.header import MAX_HEADER, MAX_TENSORS, Header, read_header

__all__ = ["in_hub_cache", "parse_places", "read_index"]

FORBIDDEN = set("/\\:\0")


def read_index(path: Path) -> dict[Path, Header]:
    """Gives the header of each shard by its path.

    Raises:
        CheckpointError: the index is none, names a file that is not beside it, or says otherwise
            than the shards which tensors there are and where.
    """
    places = _read_places(path)
    headers: dict[Path, Header] = {}
    for name in sorted(set(places.values())):
        shard = _beside(path, name)
        if not shard.is_file():
            raise CheckpointError(f"{path}: the shard {name!r:.200} is missing; fetch it too")
        headers[shard] = read_header(shard)
    held = {name: shard.name for shard, header in headers.items() for name in header.tensors}
    if sum(len(header.tensors) for header in headers.values()) != len(held):
        twice = _first_twice(headers)
        raise CheckpointError(f"{path}: the tensor {twice!r:.200} stands in two shards")
    for name in sorted(places.keys() | held.keys()):
        if places.get(name) != held.get(name):
            here, there = places.get(name), held.get(name)
            raise CheckpointError(
                f"{path}: the index has {name!r:.200} in {here or 'no shard'!r:.200}, but it is "
                f"in {there or 'none'!r:.200}; index and shards are not of one set"
            )
    return headers


def _read_places(path: Path) -> dict[str, str]:
    # What is no file, such as a pipe or a device, may never end, or never begin.
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path} is no index of shards: it is no file")
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_HEADER + 1)
        if len(raw) > MAX_HEADER:
            raise CheckpointError(f"{path}: an index of more than {MAX_HEADER:,} bytes is refused")
        text = raw.decode("utf-8")
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is no index of shards: {error}") from error
    return parse_places(text, path)


def parse_places(text: str, path: Path) -> dict[str, str]:
    """Gives the file of each tensor by name, as an index says it, whether it is there or not.

    Raises:
        CheckpointError: it is no index.
    """
    try:
        data: Any = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is no index of shards: {error}") from error
    places: Any = data.get("weight_map") if isinstance(data, dict) else None
    if not isinstance(places, dict) or not places or len(places) > MAX_TENSORS:
        raise CheckpointError(
            f"{path} is no index of shards: it has no 'weight_map' from names of tensors to files"
        )
    for name, file in places.items():
        if not isinstance(file, str):
            raise CheckpointError(f"{path}: the place of {name!r:.200} is no file name")
    return places


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name stands twice in it")
    return result


def _beside(path: Path, name: str) -> Path:
    """Gives the path of a shard, which must be a plain file in the index's own folder."""
    shard = path.parent / name
    plain = name.endswith(".safetensors") and name.isprintable() and not FORBIDDEN & set(name)
    plain = plain and not name.startswith(".")
    # A hub's cache links its files to blobs of other names, in one folder of its own.
    if plain and (_real(shard).parent == _real(path.parent) or in_hub_cache(shard)):
        return shard
    raise CheckpointError(
        f"{path}: {name!r:.200} is not the name of a .safetensors file beside the index"
    )


def in_hub_cache(shard: Path) -> bool:
    """Tells whether a link leads to the blobs of the same repository in a hub's cache."""
    snapshots = shard.parent.parent
    return snapshots.name == "snapshots" and _real(shard).parent == _real(
        snapshots.parent / "blobs"
    )


def _real(path: Path) -> Path:
    # Path.resolve raises RuntimeError where links lead in a circle, before Python 3.13.
    return Path(os.path.realpath(path))


def _first_twice(headers: dict[Path, Header]) -> str:
    seen: set[str] = set()
    for header in headers.values():
        for name in header.tensors:
            if name in seen:
                return name
            seen.add(name)
    return ""
