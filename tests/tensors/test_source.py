"""Files, sharded sets and folders as one set of named tensors."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fusionkit.errors import CheckpointError
from fusionkit.tensors.source import open_source

TENSORS = {f"layer.{i}.weight": torch.full((2, i + 1), float(i)) for i in range(5)}


def write(folder: Path, name: str = "model.safetensors", tensors=TENSORS) -> Path:
    save_file(tensors, folder / name)
    return folder / name


def write_shards(folder: Path, stem: str = "model", change=None) -> Path:
    names = list(TENSORS)
    shards = {
        f"{stem}-00001-of-00002.safetensors": names[:2],
        f"{stem}-00002-of-00002.safetensors": names[2:],
    }
    for file, held in shards.items():
        save_file({name: TENSORS[name] for name in held}, folder / file)
    data = {
        "metadata": {"total_size": 1},
        "weight_map": {name: file for file, held in shards.items() for name in held},
    }
    if change is not None:
        data = change(data) or data
    path = folder / f"{stem}.safetensors.index.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def assert_whole(source) -> None:
    read = source.read()
    assert read.keys() == TENSORS.keys() == source.entries.keys()
    assert all(torch.equal(read[name], value) for name, value in TENSORS.items())
    assert {name: entry.shape for name, entry in source.entries.items()} == {
        name: tuple(value.shape) for name, value in TENSORS.items()
    }


@pytest.mark.parametrize("as_folder", [False, True], ids=["file", "folder"])
@pytest.mark.parametrize("make", [write, write_shards])
def test_the_same_tensors_come_from_each_form(tmp_path, make, as_folder):
    path = make(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert_whole(open_source(tmp_path if as_folder else path))


@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "anything.safetensors"])
def test_a_folder_with_one_file_of_another_name(tmp_path, name):
    write(tmp_path, name)
    assert_whole(open_source(tmp_path))


def test_the_usual_name_is_taken_among_several(tmp_path):
    write(tmp_path)
    write(tmp_path, "adapter.safetensors", {"x": torch.zeros(1)})
    assert_whole(open_source(tmp_path))


def test_a_checksum_is_of_one_file(tmp_path):
    source = open_source(write_shards(tmp_path))
    with pytest.raises(CheckpointError, match=r"a checksum is of one file.*index of 2"):
        source.read("0" * 64)
    with pytest.raises(CheckpointError, match="has changed since it was saved"):
        open_source(write(tmp_path, "one.safetensors")).read("0" * 64)


def test_f041_two_sets_in_a_folder_are_refused(tmp_path):
    write(tmp_path)
    write_shards(tmp_path)
    with pytest.raises(CheckpointError, match=r"more than one set of tensors: model\.safetensors"):
        open_source(tmp_path)


def test_f043_a_folder_of_pickles_says_how_to_convert_them(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    with pytest.raises(CheckpointError, match=r"checkpoint convert .*pytorch_model\.bin"):
        open_source(tmp_path)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(CheckpointError, match="holds no safetensors file"):
        open_source(tmp_path)


def test_a_path_that_is_not_there_names_its_neighbour(tmp_path):
    write(tmp_path, "resnet.safetensors")
    with pytest.raises(CheckpointError, match=r"no file .*Did you mean 'resnet.safetensors'"):
        open_source(tmp_path / "resnt.safetensors")


def place(name, file):
    def change(data):
        data["weight_map"][name] = file

    return change


OUTSIDE = [
    "../model.safetensors",
    "/etc/passwd",
    "/dev/zero",
    "sub/x.safetensors",
    "..\\x.safetensors",
    "C:\\x.safetensors",
    "C:x.safetensors",
    "a\0.safetensors",
    "..",
    "",
    ".hidden.safetensors",
    "model.bin",
]


@pytest.mark.parametrize("file", OUTSIDE, ids=[f"outside{i}" for i in range(len(OUTSIDE))])
def test_f040_an_index_reaches_no_file_but_its_neighbours(tmp_path, file):
    folder = tmp_path / "inner"
    folder.mkdir()
    write(tmp_path)
    path = write_shards(folder, change=place("layer.0.weight", file))
    with pytest.raises(CheckpointError, match=r"is not the name of a \.safetensors file beside"):
        open_source(path)


def test_f040_a_link_out_of_the_folder_is_refused_but_a_hubs_cache_is_one(tmp_path):
    folder = tmp_path / "snapshots" / "abc"
    blobs = tmp_path / "blobs"
    folder.mkdir(parents=True)
    blobs.mkdir()
    path = write_shards(folder)
    for number, shard in enumerate(sorted(folder.glob("*.safetensors"))):
        shard.rename(blobs / str(number))
        shard.symlink_to(Path("..") / ".." / "blobs" / str(number))
    assert_whole(open_source(path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (blobs / "1").rename(elsewhere / "1")
    shard.unlink()
    shard.symlink_to(elsewhere / "1")
    with pytest.raises(CheckpointError, match="is not the name"):
        open_source(path)


def drop(data):
    del data["weight_map"]["layer.0.weight"]


def cut(data):
    return json.dumps(data)[:-9]


def twice(data):
    return '{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}'


def number(data):
    data["weight_map"]["layer.0.weight"] = 3


BROKEN = {
    "wrong shard": (place("layer.0.weight", "model-00002-of-00002.safetensors"), "not of one set"),
    "unknown tensor": (place("more", "model-00002-of-00002.safetensors"), "'more' in .*none"),
    "tensor left out": (drop, "in .no shard., but it is"),
    "missing shard": (place("x", "model-00003-of-00002.safetensors"), "the shard .* is missing"),
    "cut": (cut, "is no index of shards"),
    "a name twice": (twice, "stands twice"),
    "a number": (number, "is no file name"),
    "a list": (lambda data: "[]", "has no 'weight_map'"),
    "empty": (lambda data: "{}", "has no 'weight_map'"),
    "a list of places": (lambda data: '{"weight_map": []}', "has no 'weight_map'"),
    "deep": (lambda data: "[" * 100_000, "is no index of shards"),
}


@pytest.mark.parametrize("fault", sorted(BROKEN))
def test_f041_index_and_shards_must_agree(tmp_path, fault):
    change, message = BROKEN[fault]
    with pytest.raises(CheckpointError, match=message):
        open_source(write_shards(tmp_path, change=change))


def test_f041_a_tensor_in_two_shards_is_refused(tmp_path):
    path = write_shards(tmp_path)
    save_file(TENSORS, tmp_path / "model-00002-of-00002.safetensors")
    with pytest.raises(CheckpointError, match="stands in two shards"):
        open_source(path)


def test_a_file_that_changes_in_between_is_noticed(tmp_path):
    source = open_source(write(tmp_path))
    write(tmp_path, tensors={"other": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="changed while it was read"):
        source.read()


@pytest.mark.skipif(os.name != "posix", reason="there are no named pipes")
def test_f040_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(CheckpointError, match="there is no file"):
        open_source(tmp_path / "pipe.safetensors")


def link_to_zero(path):
    path.symlink_to("/dev/zero")


@pytest.mark.skipif(os.name != "posix", reason="there are no named pipes")
@pytest.mark.parametrize("plant", [os.mkfifo, link_to_zero], ids=["pipe", "zero"])
def test_f040_an_index_that_is_no_file_is_refused_and_not_waited_for(tmp_path, plant):
    path = tmp_path / "model.safetensors.index.json"
    plant(path)
    with pytest.raises(CheckpointError, match="no index of shards: it is no file"):
        open_source(path)


def test_f040_links_in_a_circle_are_refused(tmp_path):
    folder = write_shards(tmp_path).parent
    shard = next(folder.glob("*-of-*.safetensors"))
    shard.unlink()
    shard.symlink_to(shard.name)
    with pytest.raises(CheckpointError, match="is missing"):
        open_source(folder)


def test_f040_a_name_that_the_system_finds_too_long_is_refused(tmp_path):
    name = "x" * 5000 + ".safetensors"
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    for path in (index, tmp_path, tmp_path / name):
        with pytest.raises(CheckpointError, match=r"cannot read .*too long"):
            open_source(path)
