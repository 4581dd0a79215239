"""What is written is what the library reads, without needless copies."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from safetensors import safe_open
from safetensors.torch import load as library_load

import fusionkit as fk
from fusionkit.tensors.dtypes import DTYPES
from fusionkit.tensors.header import read_header
from fusionkit.tensors.read import read_tensors
from fusionkit.tensors.write import tensors_size, write_tensors


def test_every_type_comes_back_from_the_library_and_from_us(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = {}
    for name, dtype in DTYPES.items():
        most = 2 if dtype is torch.bool else 256
        raw = torch.randint(0, most, (6 * dtype.itemsize,)).to(torch.uint8)
        tensors[name] = raw.view(dtype).reshape(2, 3)
        tensors[name + ".scalar"] = tensors[name][0, 0].clone()
        tensors[name + ".empty"] = tensors[name][:0].clone()
    path = tmp_path / "x.safetensors"
    checksum = write_tensors(path, tensors)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == checksum
    ours, theirs = read_tensors(path, sha256=checksum), library_load(path.read_bytes())
    assert set(ours) == set(theirs) == set(tensors)
    for name, value in tensors.items():
        for other in (ours[name], theirs[name]):
            assert other.dtype == value.dtype
            assert other.shape == value.shape
            assert torch.equal(
                other.reshape(-1).view(torch.uint8), value.reshape(-1).view(torch.uint8)
            )
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt"}


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=8),
        npst.arrays(
            st.sampled_from(["float32", "int64", "uint8", "bool", "float16"]),
            npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
        ),
        max_size=5,
    )
)
def test_any_tensors_come_back(arrays: dict) -> None:
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    path = Path("/tmp") / f"fusionkit-any-{os.getpid()}.safetensors"
    path.unlink(missing_ok=True)
    try:
        write_tensors(path, tensors)
        back, theirs = read_tensors(path), library_load(path.read_bytes())
    finally:
        path.unlink(missing_ok=True)
    assert set(back) == set(theirs) == set(tensors)
    for name, value in tensors.items():
        assert back[name].shape == value.shape
        assert torch.equal(back[name].nan_to_num(), value.nan_to_num())
        assert torch.equal(theirs[name].nan_to_num(), value.nan_to_num())


def test_data_are_aligned_to_their_own_width(tmp_path: Path) -> None:
    tensors = {"a": torch.ones(3, dtype=torch.uint8), "b": torch.ones(1), "c": torch.tensor(1)}
    path = tmp_path / "x.safetensors"
    write_tensors(path, tensors)
    starts = {name: entry.start for name, entry in read_header(path).tensors.items()}
    assert starts == {"c": 0, "b": 8, "a": 12}
    assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0


def test_the_order_of_writing_does_not_change_the_file(tmp_path: Path) -> None:
    tensors = {"a": torch.ones(3), "b": torch.zeros(2)}
    reverse = dict(reversed(tensors.items()))
    one = write_tensors(tmp_path / "1", tensors)
    assert write_tensors(tmp_path / "2", reverse) == one


def test_f052_any_memory_layout_is_written_as_its_values(tmp_path: Path) -> None:
    base = torch.randn(2, 3, 4, 5)
    tensors = {
        "channels_last": base.to(memory_format=torch.channels_last),
        "transposed": base.transpose(1, 3),
        "sliced": base[:, ::2, 1:],
        "conjugated": torch.randn(4, dtype=torch.complex64).conj(),
        "negated": torch.randn(4, dtype=torch.complex64).conj().imag,
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "expanded": torch.randn(1, 3).expand(4, 3),
    }
    path = tmp_path / "x.safetensors"
    write_tensors(path, tensors)
    back = read_tensors(path)
    for name, value in tensors.items():
        assert torch.equal(back[name], value.detach()), name


def test_f032_names_that_no_reader_takes_are_refused_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    for name in ("__metadata__", "", "a\nb"):
        with pytest.raises(fk.CheckpointError, match="cannot be the name of a tensor"):
            write_tensors(tmp_path / "x", {name: torch.ones(1)})
    assert not any(tmp_path.iterdir())


def test_f052_a_type_that_the_format_lacks_is_refused_by_name(tmp_path: Path) -> None:
    tensors = {"spectrum": torch.ones(1, dtype=torch.complex128)}
    with pytest.raises(fk.CheckpointError, match=r"'spectrum' is of type torch\.complex128"):
        write_tensors(tmp_path / "x", tensors)
    assert not any(tmp_path.iterdir())


def test_f049_the_mode_is_what_the_umask_says_and_the_umask_is_not_touched(tmp_path: Path) -> None:
    script = f"""
        import os, torch
        from fusionkit.tensors.write import write_tensors
        os.umask(0o027)
        real, os.umask = os.umask, None
        write_tensors(__import__("pathlib").Path({str(tmp_path / "x")!r}), {{"a": torch.ones(1)}})
        assert real(0) == 0o027
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_a_file_that_exists_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(FileExistsError):
        write_tensors(tmp_path / "x", {"a": torch.ones(1)})
    assert (tmp_path / "x").read_text() == "mine"


def test_contiguous_tensors_on_the_cpu_are_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = torch.ones(1000)
    written = []

    def spy(tensors: dict[str, torch.Tensor], path: Path, metadata: object) -> None:
        written.append(tensors["big"].data_ptr())
        save_file(tensors, path)

    save_file = safetensors.torch.save_file
    monkeypatch.setattr(safetensors.torch, "save_file", spy)
    write_tensors(tmp_path / "x", {"big": big})
    assert written == [big.data_ptr()]


def test_the_size_is_known_about_right_beforehand(tmp_path: Path) -> None:
    tensors = {f"layer{i}.weight": torch.ones(100, 100) for i in range(10)}
    write_tensors(tmp_path / "x", tensors)
    actual = (tmp_path / "x").stat().st_size
    assert actual <= tensors_size(tensors) < 1.01 * actual


def test_what_the_header_says_besides_is_read_back(tmp_path: Path) -> None:
    write_tensors(tmp_path / "x", {"a": torch.ones(1)}, {"backbone": "timm/resnet18"})
    assert read_header(tmp_path / "x").metadata == {"format": "pt", "backbone": "timm/resnet18"}
