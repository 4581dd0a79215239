"""Tensors are read whole, once, into memory of their own, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_files import bits, entry, raw_file
from safetensors.torch import load as library_load
from safetensors.torch import save as library_save

import fusionkit as fk
from fusionkit.tensors.dtypes import DTYPES
from fusionkit.tensors.read import read_tensors


def some(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """Gives a tensor of any type with random bytes."""
    count = int(torch.tensor(shape).prod()) if shape else 1
    raw = torch.randint(0, 2 if dtype is torch.bool else 256, (count * dtype.itemsize,))
    return raw.to(torch.uint8).view(dtype).reshape(shape)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_every_type_is_read_as_the_library_reads_it(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    tensors = {
        "matrix": some(dtype, 3, 5),
        "odd": some(torch.uint8, 3),
        "scalar": some(dtype),
        "empty": some(dtype, 0, 7),
    }
    path = tmp_path / "x.safetensors"
    path.write_bytes(library_save(tensors))
    ours = read_tensors(str(path))
    theirs = library_load(path.read_bytes())
    assert set(ours) == set(theirs) == set(tensors)
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype == dtype if name != "odd" else torch.uint8
        assert value.shape == theirs[name].shape
        assert bits(value) == bits(theirs[name]) == bits(tensors[name])


def test_data_at_odd_places_are_read(tmp_path: Path) -> None:
    header = json.dumps({"a": entry(0, 1, "U8", (1,)), "b": entry(1, 9)})
    data = b"\x07" + torch.tensor([1.5, -2.5]).numpy().tobytes()
    for padding in range(8):
        path = raw_file(tmp_path / f"{padding}.safetensors", header + " " * padding, data)
        tensors = read_tensors(path)
        assert tensors["a"].tolist() == [7]
        assert tensors["b"].tolist() == [1.5, -2.5]


def test_f027_a_file_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    whole = library_save({"a": torch.arange(40.0), "b": torch.ones(3, dtype=torch.int64)})
    path = tmp_path / "cut.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(fk.CheckpointError, match=r"cut\.safetensors"):
            read_tensors(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(fk.CheckpointError, match="the header promises 184 bytes of data"):
        read_tensors(path)


def test_f028_with_a_checksum_every_flipped_bit_is_refused(tmp_path: Path) -> None:
    whole = library_save({"a": torch.arange(4.0), "flag": torch.tensor([True])})
    checksum = hashlib.sha256(whole).hexdigest()
    path = tmp_path / "flipped.safetensors"
    path.write_bytes(whole)
    assert read_tensors(path, sha256=checksum)["a"].tolist() == [0, 1, 2, 3]
    for bit in range(8 * len(whole)):
        mutated = bytearray(whole)
        mutated[bit // 8] ^= 1 << bit % 8
        path.write_bytes(mutated)
        with pytest.raises(fk.CheckpointError, match="has changed since it was saved"):
            read_tensors(path, sha256=checksum)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_random_mutations_raise_nothing_but_checkpoint_errors(data: st.DataObject) -> None:
    whole = library_save({"a.b": torch.arange(4.0), "c": torch.tensor([True])}, {"format": "pt"})
    mutated = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(mutated) - 1))
        match data.draw(st.sampled_from(["set", "insert", "delete"])):
            case "set":
                mutated[place] = data.draw(st.integers(0, 255))
            case "insert":
                mutated[place:place] = data.draw(st.binary(min_size=1, max_size=4))
            case "delete":
                del mutated[place]
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"fusionkit-mutated-{os.getpid()}.safetensors"
    path.write_bytes(mutated)
    try:
        for value in read_tensors(path).values():
            value.clone()
    except fk.CheckpointError:
        pass  # the only error that may come
    finally:
        path.unlink()


def test_a_truth_value_of_two_is_refused(tmp_path: Path) -> None:
    path = raw_file(tmp_path / "x.safetensors", {"x": entry(0, 2, "BOOL", (2,))}, b"\x01\x02")
    with pytest.raises(fk.CheckpointError, match="'x' is of type BOOL, but not all 0 and 1"):
        read_tensors(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.safetensors", tmp_path):
        with pytest.raises(fk.CheckpointError, match="there is no file"):
            read_tensors(path)


def test_a_file_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(library_save({"a": torch.ones(2)}))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(fk.CheckpointError, match=r"cannot read .*Permission denied"):
        read_tensors(path)


def test_f045_a_file_that_is_cut_afterwards_does_not_reach_the_tensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(library_save({"a": torch.ones(1_000_000)}))
    script = f"""
        import os
        from fusionkit.tensors.read import read_tensors
        tensors = read_tensors({str(path)!r})
        os.truncate({str(path)!r}, 100)
        assert float(tensors["a"].sum()) == 1_000_000
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == 0


def test_the_file_is_opened_once_and_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(library_save({"a": torch.ones(10_000)}))
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    opened = []
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda p, *a, **kw: opened.append(p) or real(p, *a, **kw))
    tensors = read_tensors(path, sha256=checksum)
    assert opened == [path]
    assert tensors["a"].untyped_storage().nbytes() < path.stat().st_size


def test_f043_nothing_in_the_package_unpickles() -> None:
    import ast

    import fusionkit

    found = []
    package = Path(fusionkit.__file__).parent
    kit = package / "testing"  # reads back what it wrote itself, to see that it can
    own = {
        package / "checkpoint" / "pickles" / "child.py",  # in a process of its own
        kit / "copied.py",
        kit / "backbones" / "learning" / "ranks.py",
        kit / "backbones" / "learning" / "resume.py",
        kit / "heads" / "copying.py",
        kit / "heads" / "fitting.py",
    }
    assert all(file.is_file() for file in own)
    for file in set(package.rglob("*.py")) - own:
        for node in ast.walk(ast.parse(file.read_text())):
            text = ast.unparse(node) if isinstance(node, ast.Call) else ""
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if text.startswith("torch.load(") or {"pickle", "dill", "joblib"} & set(names):
                found.append(f"{file}:{node.lineno}")
    assert not found


def test_where_memory_runs_out_it_is_told_what_needs_less(tmp_path: Path) -> None:
    path, size = tmp_path / "large.safetensors", 1 << 43
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}})
    try:
        with path.open("wb") as file:
            file.write(struct.pack("<Q", len(header)) + header.encode())
            try:
                file.truncate(8 + len(header) + size)
            except OSError as error:
                pytest.skip(f"no file of eight terabytes without blocks can be made here: {error}")
        with pytest.raises(fk.CheckpointError, match=r"not as much memory; mmap=True maps it"):
            read_tensors(path)
    finally:
        path.unlink()
