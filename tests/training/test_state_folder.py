import json
import math
import os
import resource
import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict
from enum import Enum
from pathlib import Path

import numpy
import pytest
import torch
from torch import nn

import fusionkit as fk
from fusionkit.errors import CheckpointError, ResumeError
from fusionkit.tensors.dtypes import NAMES
from fusionkit.training.state.folder import read_state, write_state
from fusionkit.training.state.pack import pack_state


def same(one, other):
    """Compares nested states: types, order of keys, and tensors bit by bit."""
    assert type(one) is type(other), (one, other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            same(left, right)
    elif isinstance(one, torch.Tensor):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert torch.equal(
            one.contiguous().reshape(-1).view(torch.uint8),
            other.contiguous().reshape(-1).view(torch.uint8),
        )
    elif isinstance(one, float) and math.isnan(one):
        assert math.isnan(other)
    else:
        assert one == other


PLAIN = {
    "numbers": [0, -1, 2**200, 0.1, -0.0, 1e-320, math.inf, -math.inf, math.nan],
    "others": (None, True, False, "", "ünï\0\n\ud800", b"\x00\xff"),
    7: {-1: "whole numbers as keys", "7": "and text", 10**30: ()},
    "dict": {"tuple": [1], "tensor": "no tensor"},
    "empty": [{}, [], (), ((),)],
    "counter": Counter({30: 1, 60: 2}),
    "": {"": {"": 1}},
}


def test_plain_data_comes_back_equal(tmp_path):
    same(PLAIN, read_state(write_state(tmp_path / "state", PLAIN)))
    assert sorted(os.listdir(tmp_path)) == ["state"]
    assert sorted(os.listdir(tmp_path / "state")) == ["manifest.json", "state.json"]


def test_tensors_of_every_type_come_back_bit_for_bit(tmp_path):
    base = torch.arange(48).reshape(6, 8)
    state = {str(dtype): (base % 2).to(dtype) for dtype in NAMES}
    state |= {
        "0-dim": torch.tensor(3.5, dtype=torch.bfloat16),
        "empty": [torch.empty(0), torch.empty(2, 0, dtype=torch.int64)],
        "nan": torch.tensor([math.nan, math.inf, -0.0]),
        "transposed": base.float().t(),
        "strided": base[::2, 1::3],
        "expanded": torch.ones(1, 3).expand(4, 3),
        "channels last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "a/b": {"c": torch.ones(1)},
        "a": {"b/c": torch.zeros(1)},
        "__metadata__": torch.ones(2),
        "line\nbreak": torch.ones(3),
        "": torch.ones(4),
    }
    same(state, read_state(write_state(tmp_path / "state", state)))


def test_tensors_that_share_memory_are_written_once_and_come_back_apart(tmp_path):
    big = torch.arange(1000.0)
    state = {"one": big, "same": big, "view": big[10:20], "more": big.view(10, 100)}
    folder = write_state(tmp_path / "state", state)
    back = read_state(folder)
    same(state, back)
    back["one"].zero_()
    assert float(back["same"][5]) == 5
    assert float(back["view"][0]) == 10
    assert (folder / "tensors.safetensors").stat().st_size < 2.5 * big.nbytes


def test_tensors_lie_in_memory_as_they_did(tmp_path):
    image = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    state = {
        "last": image,
        "same": image,
        "other": torch.randn(2, 3, 4, 5, 6).permute(4, 0, 2, 1, 3),
        "one": torch.randn(2, 1, 4, 5).to(memory_format=torch.channels_last),
        "transposed": nn.Parameter(torch.randn(3, 2).t()),
    }
    back = read_state(write_state(tmp_path / "state", state))
    for name, value in state.items():
        assert torch.equal(back[name], value)
        assert back[name].stride() == value.stride() or name == "one"
    assert back["last"].data_ptr() != back["same"].data_ptr()


def test_a_conjugate_is_another_tensor(tmp_path):
    value = torch.tensor([1 + 2j])
    back = read_state(write_state(tmp_path / "state", {"a": value, "b": value.conj()}))
    assert back["a"].item() == 1 + 2j
    assert back["b"].item() == 1 - 2j


def test_parameters_come_back_as_tensors_and_mappings_as_dicts(tmp_path):
    state = OrderedDict(z=nn.Parameter(torch.ones(2)), a=defaultdict(int, x=1))
    back = read_state(write_state(tmp_path / "state", state))
    same({"z": torch.ones(2), "a": {"x": 1}}, back)
    assert not back["z"].requires_grad


def test_arrays_come_back_as_arrays_and_numpys_numbers_as_numbers(tmp_path):
    numpy.random.seed(3)
    kind, keys, *rest = numpy.random.get_state()
    state = {"a": (kind, keys, *rest), "b": numpy.float32(0.5), "c": numpy.int64(3)}
    back = read_state(write_state(tmp_path / "state", state))
    assert isinstance(back["a"][1], numpy.ndarray)
    assert back["a"][1].dtype == keys.dtype
    assert numpy.array_equal(back["a"][1], keys)
    assert (back["b"], type(back["b"]), back["c"], type(back["c"])) == (0.5, float, 3, int)


class Colour(Enum):
    RED = "red"


class Number(int):
    pass


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Colour.RED, "'a/1' is a test_state_folder.Colour"),
        (Number(3), "'a/1' is a test_state_folder.Number"),
        (Path("x"), "'a/1' is a pathlib.PosixPath"),
        (print, "'a/1' is a builtins.builtin_function_or_method"),
        ({1, 2}, "'a/1' is a builtins.set"),
        (torch.float32, "'a/1' is a torch.dtype"),
        (2j, "'a/1' is a builtins.complex"),
        ({2.5: 1}, "'a/1' has the key 2.5, but keys are text or whole numbers"),
        ({True: 1}, "'a/1' has the key True"),
        (10**1000, "'a/1' is a number of more than a thousand digits"),
        (numpy.array(["x"]), "'a/1' is an array of <U1"),
        (torch.ones(2, device="meta"), "'a/1' is on the meta device"),
        (torch.ones(2).to_sparse(), "'a/1' is sparse; make it dense"),
        (torch.ones(2, dtype=torch.complex128), "'a/1' is of type torch.complex128"),
        (nn.parameter.UninitializedParameter(), "'a/1' is a UninitializedParameter"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_f052_what_cannot_be_written_is_named_by_its_path(tmp_path, value, said):
    with pytest.raises(CheckpointError, match=said):
        write_state(tmp_path / "state", {"a": [0, value]})
    assert not os.listdir(tmp_path)


def test_a_state_that_holds_itself_is_refused(tmp_path):
    state = {"a": {}}
    state["a"]["b"] = state
    with pytest.raises(
        CheckpointError, match="'a/b/a/b' is nested deeper than 100 levels, or holds"
    ):
        write_state(tmp_path / "state", state)


def test_a_state_is_a_mapping(tmp_path):
    with pytest.raises(CheckpointError, match="a state is a mapping, got list"):
        write_state(tmp_path / "state", [1])


def test_a_sharded_tensor_is_refused_with_what_to_do():
    import torch.distributed as dist
    from torch.distributed.tensor import DeviceMesh, distribute_tensor

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        value = distribute_tensor(torch.ones(4), DeviceMesh("cpu", [0]))
        with pytest.raises(CheckpointError, match=r"'w' is a DTensor.*full_state_dict=True"):
            pack_state({"w": value})
    finally:
        dist.destroy_process_group()


def as_json(raw):
    try:
        return json.loads(raw)
    except ValueError:
        return None


@pytest.fixture
def saved(tmp_path):
    return write_state(tmp_path / "state", {"a": torch.arange(4), "b": ["text", 0.5]})


@pytest.mark.parametrize("name", ["manifest.json", "state.json", "tensors.safetensors"])
def test_a_flipped_bit_a_cut_and_a_missing_file_are_seen(saved, name):
    path = saved / name
    whole = path.read_bytes()
    for place in range(0, len(whole), 5):
        for bad in (
            whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :],
            whole[:place],
        ):
            path.write_bytes(bad)
            if name == "manifest.json" and as_json(bad) == as_json(whole):
                continue  # white space
            with pytest.raises(ResumeError):
                read_state(saved)
    path.unlink()
    with pytest.raises(ResumeError, match=name):
        read_state(saved)
    path.write_bytes(whole)
    assert read_state(saved)["b"] == ["text", 0.5]


def test_what_no_write_state_wrote_is_refused(tmp_path):
    from toys import toy_catalog

    with pytest.raises(ResumeError, match=r"holds no saved state: it has no manifest\.json"):
        read_state(tmp_path / "nothing")
    model = fk.compose(
        {"a": fk.Branch("toy/tiny", weights=None)}, "toy/sum", 2, catalog=toy_catalog()
    )
    with pytest.raises(ResumeError, match=r"holds no saved state, but README\.md|config\.json"):
        read_state(fk.save(model, tmp_path / "model"))


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"tensor": "b"}, "names a tensor 'b' that its file does not hold"),
        ({"dict": {}}, "does not name the tensor 'a' of its file"),
        ({"set": []}, "holds a 'set' that is none: this fusionkit does not know it"),
        ({"float": "1e5"}, "holds a 'float' that is none: '1e5'"),
        ({"tuple": 3}, "holds a 'tuple' that is none"),
        ({"bytes": "%"}, "holds a 'bytes' that is none"),
        ({"a": 1, "b": 2}, "holds an object of 2 keys"),
        ({"permuted": ["a", [1]]}, "holds a 'permuted' that is none"),
        ({"permuted": ["a", [0, 0]]}, "holds a 'permuted' that is none"),
        ({"tensor": "a"}, "holds no state of a run, but Tensor"),
    ],
)
def test_a_tree_that_lies_is_refused_though_its_checksums_hold(saved, monkeypatch, tree, said):
    from fusionkit.training.state import folder

    monkeypatch.setattr(folder, "pack_state", lambda state: (tree, {"a": torch.ones(1)}))
    write_state(saved, {})
    with pytest.raises(ResumeError, match=said):
        read_state(saved)


def test_a_later_format_is_named(saved, monkeypatch):
    from fusionkit.training.state import folder

    monkeypatch.setattr(folder, "FORMAT", 9)
    write_state(saved, {})
    monkeypatch.undo()
    with pytest.raises(ResumeError, match="in format 9, but this is fusionkit"):
        read_state(saved)


def test_text_that_is_too_long_is_refused_when_it_is_written(tmp_path, monkeypatch):
    from fusionkit.training.state import folder

    monkeypatch.setattr(folder, "MAX_BYTES", 1000)
    with pytest.raises(CheckpointError, match="more than 1,000; keep long lists of numbers in ten"):
        write_state(tmp_path / "state", {"a": list(range(1000))})


def test_f049_the_files_have_the_mode_that_the_umask_says(tmp_path):
    before = os.umask(0o022)
    try:
        folder = write_state(tmp_path / "state", {"a": torch.ones(1)})
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


FILL = """
import resource, sys, torch
from fusionkit.errors import CheckpointError
from fusionkit.training.state.folder import write_state
for limit in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_state(sys.argv[1], {"generation": 2, "a": torch.ones(4000)})
    except CheckpointError as error:
        print(error)
"""


def test_f048_a_full_disk_keeps_what_was_there(tmp_path):
    folder = write_state(tmp_path / "state", {"generation": 1, "a": torch.ones(4000)})
    limits = ("0", "100", "5000", "16100")
    run = subprocess.run(
        [sys.executable, "-c", FILL, str(folder), *limits],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = run.stdout.splitlines()
    assert len(said) == len(limits)
    assert all("a file may not be that large here" in line for line in said)
    assert all(line.endswith("what was there before is kept") for line in said)
    assert read_state(folder)["generation"] == 1
    assert os.listdir(tmp_path) == ["state"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_the_text_can_be_read_by_people(saved):
    tree = json.loads((saved / "state.json").read_text())["state"]
    assert tree == {"dict": {"a": {"tensor": "a"}, "b": ["text", 0.5]}}
