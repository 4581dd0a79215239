"""A file of rows is whole or refused, whatever was done to it."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from fusionkit.cache.chunk import CHUNK, DamagedChunkError, is_chunk, open_chunk, write_chunk
from fusionkit.cache.rows import row_key
from fusionkit.checkpoint.leftovers import sweep
from fusionkit.tensors.write import write_tensors

KEYS = [row_key(str(index), "") for index in range(5)]


def values() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "vector": torch.rand(5, 3, generator=generator),
        "maps.0": torch.rand(5, 2, 2, 2, generator=generator).half(),
    }


def write(folder, tensors=None):
    computed = {"vector": torch.float32, "maps.0": torch.float32}
    return write_chunk(folder, KEYS, tensors or values(), computed)


def test_rows_come_back_whole_or_one_by_one(tmp_path):
    path = write(tmp_path)
    assert is_chunk(path)
    chunk = open_chunk(path)
    assert list(chunk.keys) == KEYS
    assert chunk.computed == {"vector": torch.float32, "maps.0": torch.float32}
    assert chunk.shapes() == {"vector": (3,), "maps.0": (2, 2, 2)}
    assert chunk.row_bytes() == 3 * 4 + 8 * 2
    chunk.check()
    whole, some = chunk.read(), chunk.read_rows([4, 0, 4])
    for name, value in values().items():
        assert torch.equal(whole[name], value)
        assert torch.equal(some[name], value[[4, 0, 4]])


def test_features_without_values_are_rows_too(tmp_path):
    path = write_chunk(tmp_path, KEYS, {"vector": torch.zeros(5, 0)}, {"vector": torch.float32})
    assert open_chunk(path).read_rows([1])["vector"].shape == (1, 0)


def test_f092_a_file_cut_anywhere_is_refused(tmp_path):
    path = write(tmp_path)
    raw = path.read_bytes()
    for length in range(0, len(raw), 7):
        path.write_bytes(raw[:length])
        with pytest.raises(DamagedChunkError, match=path.name):
            open_chunk(path).read()
    path.write_bytes(raw)
    open_chunk(path).read()


def test_f092_a_file_with_any_byte_changed_is_refused(tmp_path):
    path = write(tmp_path)
    raw = path.read_bytes()
    for at in range(len(raw)):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 16]) + raw[at + 1 :])
        with pytest.raises(DamagedChunkError):
            open_chunk(path).read()
        with pytest.raises(DamagedChunkError):
            open_chunk(path).check()


def test_f092_a_file_cut_while_rows_are_read_is_no_crash(tmp_path):
    chunk = open_chunk(write(tmp_path))
    chunk.check()
    os.truncate(chunk.path, chunk.begin + 10)
    with pytest.raises(DamagedChunkError, match="cut short while it was in use"):
        chunk.read_rows([4])
    chunk.path.unlink()
    with pytest.raises(DamagedChunkError, match="No such file"):
        chunk.read_rows([0])
    with pytest.raises(DamagedChunkError, match="No such file"):
        chunk.check()


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


@pytest.mark.parametrize("kind", ["pickle", "torch", "npy"])
def test_f094_objects_are_never_unpickled(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    raw = io.BytesIO()
    if kind == "pickle":
        pickle.dump(Evil(), raw)
    elif kind == "torch":
        torch.save(Evil(), raw)
    else:
        np.save(raw, np.array([Evil()], dtype=object), allow_pickle=True)
    path = tmp_path / ("0" * 64 + ".safetensors")
    path.write_bytes(raw.getvalue())
    with pytest.raises(DamagedChunkError):
        open_chunk(path)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ({"vector": torch.zeros(2, 3)}, {"computed": '{"vector": "F32"}'}),
        ({"keys": torch.zeros(2, 16, dtype=torch.uint8)}, {"computed": "{}"}),
        (
            {"keys": torch.zeros(2, 16, dtype=torch.uint8), "vector": torch.zeros(3, 3)},
            {"computed": '{"vector": "F32"}'},
        ),
        ({"keys": torch.zeros(2, 9, dtype=torch.uint8), "vector": torch.zeros(2, 3)}, {}),
        ({"keys": torch.zeros((), dtype=torch.uint8), "vector": torch.zeros(2, 3)}, {}),
        (
            {"keys": torch.zeros(2, 16, dtype=torch.uint8), "vector": torch.zeros(2, 3)},
            {"computed": '{"vector": "F1"}'},
        ),
        ({"keys": torch.zeros(2, 16, dtype=torch.uint8), "vector": torch.zeros(2, 3)}, {}),
    ],
)
def test_another_safetensors_file_is_refused(tmp_path, tensors, metadata):
    path = tmp_path / ("0" * 64 + ".safetensors")
    write_tensors(path, tensors, metadata)
    with pytest.raises(DamagedChunkError):
        open_chunk(path)


def test_a_kill_leaves_no_file_by_its_name_and_the_rest_is_swept(tmp_path):
    script = """
        import os, sys
        from pathlib import Path
        from fusionkit.cache import chunk
        import torch
        real = chunk.write_tensors
        def killed(*arguments):
            real(*arguments)
            os.kill(os.getpid(), 9)
        chunk.write_tensors = killed
        chunk.write_chunk(Path(sys.argv[1]), [bytes(16)], {"vector": torch.zeros(1, 2)},
                          {"vector": torch.float32})
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], check=False
    )
    assert done.returncode == -9
    assert not any(map(is_chunk, tmp_path.iterdir()))
    assert len(list(tmp_path.iterdir())) == 1
    sweep(tmp_path / CHUNK)
    assert list(tmp_path.iterdir()) == []
