"""What the process answers that opens a pickle; here in the tests' own, without its bound."""

from __future__ import annotations

import json
import os
import zipfile
from argparse import Namespace
from collections import defaultdict, deque
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import PosixPath

import numpy
import pytest
import torch
from torch import nn

from fusionkit.checkpoint.pickles import child
from fusionkit.tensors.read import read_tensors


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(child, "_limit_memory", lambda more: None)

    def run(saved, key="", **options):
        if not isinstance(saved, bytes):
            torch.save(saved, tmp_path / "in.pt", **options)
        else:
            (tmp_path / "in.pt").write_bytes(saved)
        child.main(str(tmp_path / "in.pt"), str(tmp_path / "out.safetensors"), key)
        return json.loads(capsys.readouterr().out)

    return run


class Payload:
    """Does in a pickle what a thief would."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("old", [True, False], ids=["legacy", "zip"])
def test_tensors_come_out_bit_for_bit(ask, tmp_path, old):
    state = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).state_dict()
    state["odd"] = torch.tensor([float("nan"), -0.0])
    state["small"] = torch.randn(3).bfloat16()
    state["turned"] = torch.randn(3, 4).t()
    answer = ask(
        {"state_dict": state, "args": Namespace(lr=1)}, _use_new_zipfile_serialization=not old
    )
    assert (answer["key"], answer["tensors"]) == ("state_dict", len(state))
    written = read_tensors(tmp_path / "out.safetensors", sha256=answer["sha256"])
    for name, value in state.items():
        one, other = (each.reshape(-1).view(torch.uint8) for each in (written[name], value))
        assert torch.equal(one, other), name


SETTINGS = {
    "namespace": Namespace(lr=0.1, out=PosixPath("runs")),
    "path": PosixPath("/runs/1"),
    "number": numpy.float64(0.93),
    "array": numpy.zeros(3),
    "objects": numpy.array([{}, None], dtype=object),
    "random": numpy.random.get_state(),
    "default": defaultdict(list, a=[1]),
    "queue": deque([1], maxlen=3),
    "time": datetime.now(timezone.utc),
    "decimal": Decimal("0.1"),
    "range": range(3),
    "slice": slice(1, 2),
    "frozen": frozenset([1]),
}


@pytest.mark.parametrize("old", [True, False], ids=["legacy", "zip"])
@pytest.mark.parametrize("kind", SETTINGS)
def test_settings_beside_the_tensors_are_in_nobodys_way(ask, kind, old):
    saved = {"state_dict": nn.Linear(2, 1).state_dict(), "best": SETTINGS[kind]}
    answer = ask(saved, "state_dict", _use_new_zipfile_serialization=not old)
    assert answer.get("tensors") == 2, answer


def test_a_setting_among_the_tensors_is_left_out(ask):
    answer = ask({"weight": torch.ones(2), "best": numpy.float32(0.5)})
    ((name, what),) = answer["dropped"].items()
    assert name == "best"
    assert what.endswith("multiarray.scalar")
    said = ask({"weight": torch.ones(2), "scale": numpy.ones(2)})["error"]
    assert said.startswith("'scale' is an array of numpy among the tensors")


def test_nothing_of_a_setting_is_built(ask, tmp_path):
    class Evil:
        def __reduce__(self):
            return numpy.save, (str(tmp_path / "evil.npy"), 1)

    assert ask({"state_dict": {"w": torch.ones(2)}, "best": Evil()}, "state_dict")["tensors"] == 1
    assert not (tmp_path / "evil.npy").exists()


def test_another_protocol_is_told_without_torchs_own_advice(ask):
    said = ask({"w": torch.ones(2)}, pickle_protocol=4)["error"]
    assert "pickle_protocol=2" in said
    assert "weights_only" not in said


@pytest.mark.parametrize("variable", ["0", "1"])
def test_f043_a_payload_writes_no_file_whatever_the_environment_says(
    ask, tmp_path, monkeypatch, variable
):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", variable)
    answer = ask({"model": {"w": torch.zeros(2)}, "x": Payload(tmp_path / "evil")})
    assert "asks for 'posix.system', which is code" in answer["error"]
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "out.safetensors").exists()


def test_f043_a_whole_module_is_code(ask):
    assert "'torch.nn.modules.linear.Linear'" in ask(nn.Linear(1, 1))["error"]


def test_f043_a_small_file_with_a_huge_shape_is_refused(ask):
    assert "claims the shape" in ask({"a": torch.zeros(1).expand(10**12)})["error"]


def test_f043_a_compressed_archive_is_refused(ask, tmp_path):
    torch.save({"a": torch.zeros(10_000)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in plain.namelist():
            packed.writestr(entry, plain.read(entry))
    assert "compressed archive" in ask((tmp_path / "packed.pt").read_bytes())["error"]


def test_several_states_are_listed_and_one_is_chosen(ask, tmp_path):
    saved = {"teacher": {"w": torch.ones(2)}, "student": {"w": torch.zeros(2), "b": torch.ones(1)}}
    for key in ("", "tutor"):
        assert ask(saved, key)["choices"] == [
            {"key": "teacher", "tensors": 1, "values": 2, "first": "w"},
            {"key": "student", "tensors": 2, "values": 3, "first": "w"},
        ]
    assert ask(saved, "teacher")["key"] == "teacher"
    assert torch.equal(read_tensors(tmp_path / "out.safetensors")["w"], torch.ones(2))


def test_what_holds_no_state_is_refused(ask):
    assert "holds no state dict" in ask({"epoch": 3})["error"]


@pytest.mark.parametrize("cut", [0, 1, 100, -1], ids=["empty", "byte", "start", "end"])
def test_f027_a_cut_pickle_is_refused(ask, tmp_path, cut):
    torch.save({"a": torch.zeros(100)}, tmp_path / "whole.pt")
    raw = (tmp_path / "whole.pt").read_bytes()
    assert "cannot read" in ask(raw[:cut])["error"]


def test_names_and_types_that_no_tensor_file_has_are_refused(ask):
    assert "cannot be printed" in ask({"a\n": torch.zeros(2)})["error"]
    assert "complex128" in ask({"a": torch.zeros(2, dtype=torch.complex128)})["error"]


def test_a_file_that_did_not_come_back_as_it_was_is_refused(ask, monkeypatch):
    monkeypatch.setattr(child, "read_tensors", lambda path, sha256: {"a": torch.ones(2)})
    assert "did not come back" in ask({"a": torch.zeros(2)})["error"]


def test_want_of_memory_is_told(ask, monkeypatch):
    def starve(*arguments, **options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4")

    monkeypatch.setattr(torch, "load", starve)
    assert ask({"a": torch.zeros(2)})["error"] == child.MEMORY
