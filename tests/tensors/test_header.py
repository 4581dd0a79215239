"""A header that lies is refused, with the file and the cause in the message."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import pytest
import torch
from raw_files import entry, raw_file
from safetensors.torch import save

import fusionkit as fk
from fusionkit.tensors.header import MAX_TENSORS, TensorEntry, check_name, read_header, take_header


def toy_file() -> bytes:
    tensors = {
        "a.weight": torch.arange(6.0).reshape(2, 3),
        "b.count": torch.tensor(7),
        "c": torch.zeros(0, 4),
        "d": torch.tensor([True, False, True]),
    }
    return save(tensors, metadata={"format": "pt"})


def test_it_tells_type_shape_place_and_metadata(tmp_path: Path) -> None:
    path = tmp_path / "toy.safetensors"
    path.write_bytes(toy_file())
    header = read_header(str(path))
    assert header.metadata == {"format": "pt"}
    assert set(header.tensors) == {"a.weight", "b.count", "c", "d"}
    assert header.tensors["a.weight"] == TensorEntry("F32", (2, 3), 8, 32)
    assert header.tensors["c"].shape == (0, 4)


def test_f027_a_header_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    whole = toy_file()
    path = tmp_path / "cut.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(fk.CheckpointError, match=r"cut\.safetensors"):
            read_header(path)


def test_f028_every_flipped_bit_of_a_header_is_refused_or_seen_in_what_is_read(
    tmp_path: Path,
) -> None:
    whole = toy_file()
    path = tmp_path / "flipped.safetensors"
    path.write_bytes(whole)
    true = read_header(path)
    (length,) = struct.unpack("<Q", whole[:8])
    refused = harmless = other = 0
    for bit in range(8 * (8 + length)):
        mutated = bytearray(whole)
        mutated[bit // 8] ^= 1 << bit % 8
        path.write_bytes(mutated)
        try:
            header = read_header(path)
        except fk.CheckpointError:
            refused += 1
            continue
        if header.tensors == true.tensors:
            harmless += 1  # white space behind the header, or the metadata
        else:
            other += 1
            facts = {name: (each.dtype, each.shape) for name, each in header.tensors.items()}
            assert facts != {name: (each.dtype, each.shape) for name, each in true.tensors.items()}
    assert refused > 0.8 * 8 * (8 + length)
    assert harmless < 0.1 * refused
    assert other < 0.1 * refused


def test_f029_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    one = json.dumps(entry())
    cases = {
        "same": f'{{"x": {one}, "x": {one}}}',
        "other": f'{{"x": {one}, "x": {json.dumps(entry(8, 16))}}}',
        "field": '{"x": {"dtype": "F32", "dtype": "I32", "shape": [2], "data_offsets": [0, 8]}}',
        "metadata": f'{{"__metadata__": {{}}, "__metadata__": {{}}, "x": {one}}}',
    }
    for name, header in cases.items():
        path = raw_file(tmp_path / f"{name}.safetensors", header)
        with pytest.raises(fk.CheckpointError, match="stands twice in the header"):
            read_header(path)


@pytest.mark.parametrize("name", ["", "a\0b", "a\nb", "a\x7fb", "\ud800", "\u202ea", "\u200b"])
def test_f030_names_that_cannot_be_shown_are_refused(tmp_path: Path, name: str) -> None:
    path = raw_file(tmp_path / "names.safetensors", {name: entry()})
    with pytest.raises(fk.CheckpointError, match="cannot be the name of a tensor") as caught:
        read_header(path)
    str(caught.value).encode()


def test_f030_a_name_that_looks_like_a_path_is_only_a_name(tmp_path: Path) -> None:
    path = raw_file(tmp_path / "names.safetensors", {"../../etc/x": entry()})
    assert set(read_header(path).tensors) == {"../../etc/x"}
    assert [each.name for each in tmp_path.iterdir()] == ["names.safetensors"]


def test_f032_the_name_of_the_metadata_is_no_tensors() -> None:
    with pytest.raises(ValueError, match="keeps it for itself"):
        check_name("__metadata__")


@pytest.mark.parametrize(
    ("header", "cause"),
    [
        ({"x": {**entry(), "extra": 1}}, "just the fields dtype, shape and data_offsets"),
        ({"x": {"dtype": "F32", "shape": [2]}}, "just the fields"),
        ({"x": [1, 2]}, "just the fields"),
        ({"x": None}, "just the fields"),
        ({"x": entry(dtype="F33")}, "the unknown type 'F33'"),
        ({"x": {**entry(), "dtype": ["F32"]}}, "the unknown type"),
        ({"x": {**entry(), "shape": 2}}, "no whole numbers"),
        ({"x": {**entry(), "shape": [-2]}}, "no whole numbers"),
        ({"x": {**entry(), "shape": [2.0]}}, "no whole numbers"),
        ({"x": {**entry(), "shape": [True, 2]}}, "no whole numbers"),
        ({"x": {**entry(), "shape": [10**400]}}, "no whole numbers"),
        ({"x": {**entry(), "data_offsets": [0]}}, "no whole numbers"),
        ({"x": {**entry(), "data_offsets": [0, 8, 8]}}, "no whole numbers"),
        ({"x": entry(8, 0)}, "takes -8 bytes, which F32"),
        ({"x": entry(shape=(3,))}, r"takes 8 bytes, which F32 \[3\] does not"),
        ({"x": entry(shape=(1,) * 65)}, "a shape that no tensor can have"),
        ({"x": entry(0, 0, shape=(0, 2**40, 2**40))}, "a shape that no tensor can have"),
        ({"x": entry(), "y": entry()}, "of 'y' begin at byte 0, expected 8"),
        ({"x": entry(4, 12)}, "begin at byte 4, expected 0"),
        ({"x": entry(0, 4, shape=(1,))}, "promises 4 bytes of data, the file has 8"),
        ({"x": entry(0, 16, shape=(4,))}, "promises 16 bytes of data, the file has 8"),
        ({"__metadata__": {"a": 1}, "x": entry()}, "not a mapping of text to text"),
        ({"__metadata__": [], "x": entry()}, "not a mapping of text to text"),
        ([], "does not begin as a JSON object"),
        (f'  {{"x": {json.dumps(entry())}}}', "does not begin as a JSON object"),
        ("{'x': 1}", "is not JSON"),
        (b'{"\xff": 1}', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"x": ' + "9" * 5000 + "}", "is not JSON"),
    ],
)
def test_what_the_format_does_not_allow_is_refused(
    tmp_path: Path, header: object, cause: str
) -> None:
    path = raw_file(tmp_path / "bad.safetensors", header)
    with pytest.raises(fk.CheckpointError, match=cause) as caught:
        read_header(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_header_padded_with_spaces_is_read(tmp_path: Path) -> None:
    path = raw_file(tmp_path / "padded.safetensors", json.dumps({"x": entry()}) + " " * 13)
    assert set(read_header(path).tensors) == {"x"}


def test_f031_too_many_tensors_are_refused_within_a_second(tmp_path: Path) -> None:
    header = {f"t{i}": entry(0, 0, "U8", (0,)) for i in range(MAX_TENSORS + 1)}
    path = raw_file(tmp_path / "many.safetensors", header, b"")
    start = time.process_time()
    with pytest.raises(fk.CheckpointError, match="more than the 200,000 tensors"):
        read_header(path)
    assert time.process_time() - start < 1


def test_f031_too_many_tensors_written_to_escape_the_count_are_refused(tmp_path: Path) -> None:
    text = json.dumps({f"t{i}": 0 for i in range(MAX_TENSORS + 1)})
    path = raw_file(tmp_path / "many.safetensors", text, b"")
    with pytest.raises(fk.CheckpointError, match="200,001 tensors, more than"):
        read_header(path)


def test_f031_a_name_that_stands_twice_among_many_is_found_quickly(tmp_path: Path) -> None:
    text = "{" + "".join(f'"t{i}":0,' for i in range(150_000)) + '"t149999":0}'
    path = raw_file(tmp_path / "twice.safetensors", text, b"")
    start = time.process_time()
    with pytest.raises(fk.CheckpointError, match="'t149999' stands twice"):
        read_header(path)
    assert time.process_time() - start < 2


def test_a_long_name_is_shown_shortened(tmp_path: Path) -> None:
    path = raw_file(tmp_path / "long.safetensors", {"x" * 100_000: entry(dtype="?")})
    with pytest.raises(fk.CheckpointError, match="unknown type") as caught:
        read_header(path)
    assert len(str(caught.value)) < 1000


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "absent", tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(fk.CheckpointError, match="there is no file"):
            read_header(path)


def test_a_header_that_was_checked_is_not_checked_again_unless_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "toy.safetensors"
    path.write_bytes(toy_file())
    known = read_header(path)
    with path.open("rb") as file:
        assert take_header(file, path, known) is known
    path.write_bytes(toy_file() + b"more")
    with path.open("rb") as file, pytest.raises(fk.CheckpointError, match="the file has"):
        take_header(file, path, known)
    path.write_bytes(save({"other": torch.ones(3)}))
    with path.open("rb") as file:
        assert set(take_header(file, path, known).tensors) == {"other"}
