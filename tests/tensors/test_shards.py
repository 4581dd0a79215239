"""Tensors are divided by their size, in their order, under the names that the hub has."""

from __future__ import annotations

import json

import pytest
import torch

import fusionkit as fk
from fusionkit.tensors import shards as shards_module
from fusionkit.tensors.shards import divide, format_index, is_shard, name_shards, read_size

TENSORS = {name: torch.zeros(size) for name, size in (("a", 2), ("b", 3), ("c", 10), ("d", 1))}


@pytest.mark.parametrize(
    ("size", "count"),
    [
        (1, 1),
        ("12B", 12),
        ("3kb", 3000),
        ("1.5MB", 1_500_000),
        ("5 GB", 5 * 10**9),
        ("1TB", 10**12),
    ],
)
def test_a_size_is_read(size: str | int, count: int) -> None:
    assert read_size(size) == count


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "", "5", "GB", "5GiB", "-5GB", "0MB", "1e9B"])
def test_what_is_no_size_is_refused(size: object) -> None:
    with pytest.raises(fk.ConfigError, match="a number of bytes, or a text such as '500MB'"):
        read_size(size)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("most", "parts"),
    [
        (1, ["a", "b", "c", "d"]),
        (20, ["ab", "c", "d"]),
        (44, ["ab", "cd"]),
        (59, ["ab", "cd"]),
        (60, ["abc", "d"]),
        (64, ["abcd"]),
    ],
)
def test_no_part_is_larger_unless_it_holds_one_tensor(most: int, parts: list[str]) -> None:
    divided = divide(TENSORS, most)
    assert ["".join(part) for part in divided] == parts
    assert all(part[name] is TENSORS[name] for part in divided for name in part)


def test_no_tensors_are_one_part() -> None:
    assert divide({}, 1) == [{}]


def test_more_parts_than_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_module, "MAX_SHARDS", 3)
    with pytest.raises(fk.CheckpointError, match=r"max_shard_size=1 bytes makes 4 shards, more"):
        divide(TENSORS, 1)


def test_names_are_those_of_the_hub() -> None:
    assert name_shards(2) == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    assert all(is_shard(name) for name in name_shards(12))
    for name in (
        "model.safetensors",
        "model-1-of-2.safetensors",
        "../model-00001-of-00002.safetens",
    ):
        assert not is_shard(name)


def test_the_index_says_where_each_tensor_is() -> None:
    divided = dict(zip(name_shards(2), divide(TENSORS, 50), strict=True))
    assert json.loads(format_index(divided)) == {
        "metadata": {"total_size": 64},
        "weight_map": {
            "a": "model-00001-of-00002.safetensors",
            "b": "model-00001-of-00002.safetensors",
            "c": "model-00002-of-00002.safetensors",
            "d": "model-00002-of-00002.safetensors",
        },
    }
