"""Divides tensors into shards of a size, in the layout of the Hugging Face hub."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from torch import Tensor

from fusionkit.errors import CheckpointError, ConfigError
from fusionkit.numbers import is_count

__all__ = ["divide", "format_index", "is_shard", "name_shards", "read_size"]

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?B)", re.IGNORECASE)
SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
MAX_SHARDS = 99_999
"""More have no number in five digits."""


def read_size(size: str | int) -> int:
    """Gives a size in bytes, from a number of them or a text such as ``"5GB"``, of 10**9 bytes.

    Raises:
        ConfigError: it is no size, or less than one byte.
    """
    found = SIZE.fullmatch(size.strip()) if isinstance(size, str) else None
    count = int(float(found[1]) * UNITS[found[2].upper()]) if found else size
    if not is_count(count):
        raise ConfigError(
            f"max_shard_size is a number of bytes, or a text such as '500MB' or '5GB'; got "
            f"{size!r:.80}"
        )
    return count


def divide(tensors: Mapping[str, Tensor], most: int) -> list[dict[str, Tensor]]:
    """Gives the tensors in their order, in parts of at most so many bytes.

    A tensor that is larger than that has a part to itself.

    Raises:
        CheckpointError: there would be more parts than there are numbers for.
    """
    parts: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, value in tensors.items():
        if parts[-1] and size + value.nbytes > most:
            parts.append({})
            size = 0
        parts[-1][name] = value
        size += value.nbytes
    if len(parts) > MAX_SHARDS:
        raise CheckpointError(
            f"max_shard_size={most:,} bytes makes {len(parts):,} shards, more than the "
            f"{MAX_SHARDS:,} that can be numbered; allow larger ones"
        )
    return parts


def name_shards(count: int) -> list[str]:
    """Gives the names of so many files, in their order."""
    return [f"model-{place:05}-of-{count:05}.safetensors" for place in range(1, count + 1)]


def is_shard(name: str) -> bool:
    """Tells whether a file's name is that of a shard."""
    return SHARD.fullmatch(name) is not None


def format_index(shards: Mapping[str, Mapping[str, Tensor]]) -> str:
    """Gives the text of the index of shards by their names, as ``read_index`` reads it."""
    total = sum(value.nbytes for shard in shards.values() for value in shard.values())
    places = {name: file for file, shard in shards.items() for name in shard}
    data = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    return json.dumps(data, indent=2) + "\n"
