"""A mapped file is the memory of its tensors, checked as a file that is read."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path

import pytest
import torch
from raw_files import bits, entry, raw_file
from safetensors.torch import save as library_save

import fusionkit as fk
from fusionkit.tensors.dtypes import DTYPES
from fusionkit.tensors.finite import KnownFinite
from fusionkit.tensors.header import read_header
from fusionkit.tensors.read import read_tensors


def write(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    path = folder / "x.safetensors"
    path.write_bytes(library_save(tensors))
    return path


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_every_type_is_what_reading_gives(tmp_path: Path, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    raw = torch.randint(0, 2, (15 * dtype.itemsize,), generator=generator).to(torch.uint8)
    tensors = {
        "matrix": raw.view(dtype).reshape(3, 5),
        "odd": torch.arange(3, dtype=torch.uint8),
        "scalar": raw[: dtype.itemsize].clone().view(dtype).reshape(()),
        "empty": torch.empty(0, 7, dtype=dtype),
    }
    path = write(tmp_path, tensors)
    read, mapped = read_tensors(path), read_tensors(path, maps=True)
    assert list(mapped) == list(read)
    for name, value in read.items():
        assert (mapped[name].dtype, mapped[name].shape) == (value.dtype, value.shape)
        assert bits(mapped[name]) == bits(value)


def test_what_lies_at_odd_places_is_read(tmp_path: Path) -> None:
    header = json.dumps({"a": entry(0, 1, "U8", (1,)), "b": entry(1, 9), "c": entry(9, 17)})
    values = torch.tensor([1.5, -2.5, 3.5, 4.5])
    for padding in range(8):
        data = b"\x07" + values.numpy().tobytes()
        path = raw_file(tmp_path / f"{padding}.safetensors", header + " " * padding, data)
        found = read_tensors(path, maps=True)
        assert found["a"].tolist() == [7]
        assert torch.cat([found["b"], found["c"]]).tolist() == values.tolist()


def test_it_is_the_files_memory_until_it_is_written_to(tmp_path: Path) -> None:
    path = write(tmp_path, {"a": torch.zeros(4096), "b": torch.zeros(4096)})
    found = read_tensors(path, maps=True)
    before = path.read_bytes()
    found["a"].add_(1)
    assert path.read_bytes() == before
    with path.open("r+b") as file:
        file.seek(len(before) - 4)
        file.write(torch.tensor(5.0).numpy().tobytes())
    assert found["b"][-1] == 5  # so it is said: nobody may write to the file
    assert found["a"].eq(1).all()


def test_a_file_that_takes_its_place_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, {"a": torch.ones(4096)})
    found = read_tensors(path, maps=True)
    other = tmp_path / "other"
    other.mkdir()
    os.replace(write(other, {"a": torch.zeros(4096)}), path)
    assert found["a"].eq(1).all()
    path.unlink()
    assert found["a"].eq(1).all()


def test_checksum_and_values_are_looked_at(tmp_path: Path) -> None:
    path = write(tmp_path, {"good": torch.ones(300_000), "bad": torch.full((3,), torch.nan)})
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    finite = KnownFinite()
    found = read_tensors(path, sha256=checksum, finite=finite, maps=True)
    assert found["good"] in finite
    assert found["bad"] not in finite
    with pytest.raises(fk.CheckpointError, match="has changed since it was saved"):
        read_tensors(path, sha256="0" * 64, maps=True)


def test_a_cut_file_is_refused_before_it_is_touched(tmp_path: Path) -> None:
    path = write(tmp_path, {"a": torch.ones(100_000)})
    known = read_header(path)
    os.truncate(path, 5000)
    for header in (None, known):
        with pytest.raises(fk.CheckpointError, match=r"cut short|truncated|promise"):
            read_tensors(path, known=header, maps=True)


@pytest.mark.parametrize("has_proc", [True, False])
def test_with_and_without_proc_it_is_the_same(tmp_path, monkeypatch, has_proc) -> None:
    path = write(tmp_path, {"a": torch.arange(5000.0)})
    before = path.read_bytes()
    if not has_proc:
        monkeypatch.setattr("fusionkit.tensors.read.os.path.exists", lambda _: False)
    found = read_tensors(path, maps=True)["a"]
    assert found.equal(torch.arange(5000.0))
    found.zero_()
    assert path.read_bytes() == before


@pytest.mark.skipif(
    not os.path.exists("/proc/self/fd"),
    reason="there is no /proc/self/fd, without which a map keeps its file open",
)
def test_no_file_is_kept_open(tmp_path: Path) -> None:
    path = write(tmp_path, {"a": torch.ones(5000)})
    before = len(os.listdir("/proc/self/fd"))
    kept = [read_tensors(path, maps=True) for _ in range(5)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert all(each["a"].eq(1).all() for each in kept)


def test_truth_values_and_empty_tensors_are_looked_at(tmp_path: Path) -> None:
    tensors = {"first": torch.empty(0, 3), "some": torch.ones(9), "last": torch.empty(0)}
    path = write(tmp_path, tensors)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_tensors(path, sha256=checksum, maps=True)["last"].shape == (0,)
    header = json.dumps({"a": entry(0, 2, "BOOL", (2,))})
    wrong = raw_file(tmp_path / "bool.safetensors", header, b"\x01\x02")
    with pytest.raises(fk.CheckpointError, match="of type BOOL, but not all 0 and 1"):
        read_tensors(wrong, maps=True)


def test_a_file_without_tensors(tmp_path: Path) -> None:
    assert read_tensors(write(tmp_path, {}), maps=True) == {}


def test_each_tensor_is_saved_by_itself(tmp_path: Path) -> None:
    path = write(tmp_path, {"large": torch.ones(100_000), "small": torch.ones(2)})
    file = io.BytesIO()
    torch.save(read_tensors(path, maps=True)["small"], file)
    assert len(file.getvalue()) < 10_000
