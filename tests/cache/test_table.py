"""Rows come in the order of the split, from memory or from disk alike."""

from __future__ import annotations

import pytest
import torch

import fusionkit as fk
from fusionkit.cache.chunk import DamagedChunkError, open_chunk, write_chunk
from fusionkit.cache.rows import row_key
from fusionkit.cache.table import DiskTable, MemoryTable, build_table


def places(folder, kept=torch.float32):
    """Gives the places of ten rows in two files, the values of row i all i, in order 9..0."""
    found = []
    for start in (0, 5):
        rows = torch.arange(start, start + 5, dtype=torch.float32)
        tensors = {
            "vector": rows[:, None].expand(5, 3).to(kept).contiguous(),
            "maps.0": rows[:, None, None, None].expand(5, 2, 2, 2).to(kept).contiguous(),
        }
        keys = [row_key(str(row), "") for row in range(start, start + 5)]
        chunk = open_chunk(
            write_chunk(folder, keys, tensors, dict.fromkeys(tensors, torch.float32))
        )
        found += [(chunk, row) for row in range(5)]
    return found[::-1]


@pytest.mark.parametrize("room", [0, 10**6])
@pytest.mark.parametrize("kept", [torch.float32, torch.float16])
def test_a_batch_has_the_rows_of_its_positions(tmp_path, room, kept):
    table = build_table(places(tmp_path, kept), room)
    assert isinstance(table, MemoryTable if room else DiskTable)
    features = table.take(torch.tensor([0, 9, 3, 3]))
    expected = torch.tensor([9.0, 0.0, 6.0, 6.0])
    assert features.vector.dtype == torch.float32
    assert torch.equal(features.vector, expected[:, None].expand(4, 3))
    assert torch.equal(features.maps[0], expected[:, None, None, None].expand(4, 2, 2, 2))
    assert features.logits is None


def test_memory_is_what_the_values_take(tmp_path):
    found = places(tmp_path)
    assert build_table(found, 10**6).memory == 10 * 11 * 4
    assert isinstance(build_table(found, 10 * 11 * 4), MemoryTable)
    disk = build_table(found, 10 * 11 * 4 - 1)
    assert isinstance(disk, DiskTable)
    assert disk.memory == 0


@pytest.mark.parametrize("room", [0, 10**6])
def test_f092_a_changed_file_makes_no_table(tmp_path, room):
    found = places(tmp_path)
    path = found[0][0].path
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(DamagedChunkError) as caught:
        build_table(found, room)
    assert caught.value.path == path


def test_rows_of_different_shapes_are_refused(tmp_path):
    computed = {"maps.0": torch.float32}
    chunks = [
        open_chunk(write_chunk(tmp_path, [bytes([n] * 16)], {"maps.0": torch.zeros(1, 1, n, n)},
                               computed))
        for n in (2, 3)
    ]  # fmt: skip
    with pytest.raises(fk.CacheError, match=r"features of different shapes.*\(1, 2, 2\)"):
        build_table([(chunk, 0) for chunk in chunks], 10**6)
