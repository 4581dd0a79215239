"""From a pickle to a safetensors file by way of another process."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

import fusionkit as fk
from fusionkit.checkpoint.pickles import convert
from fusionkit.checkpoint.pickles.convert import convert_pickle
from fusionkit.tensors.read import read_tensors


def save(path, **more):
    model = nn.Linear(2, 3)
    torch.save({"model": model.state_dict(), **more}, path)
    return model.state_dict()


def test_a_file_is_written_beside_the_pickle_and_nothing_else(tmp_path):
    state = save(tmp_path / "best.pth.tar")
    done = convert_pickle(tmp_path / "best.pth.tar")
    assert done.target == tmp_path / "best.safetensors"
    written = read_tensors(done.target, sha256=done.sha256)
    assert all(torch.equal(written[name], value) for name, value in state.items())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["best.pth.tar", "best.safetensors"]


def test_f043_modules_beside_the_pickle_are_not_imported(tmp_path, monkeypatch):
    save(tmp_path / "a.pt")
    for name in ("torch", "json", "os", "re", "fusionkit"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    convert_pickle(tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds what a process may map")
def test_f043_memory_is_bounded_by_the_size_of_the_file(tmp_path, monkeypatch):
    code = convert.CODE.replace(
        "import main; main(",
        "import main, _limit_memory; import torch; _limit_memory(2**20); torch.ones(2**28); main(",
    )
    save(tmp_path / "a.pt")
    monkeypatch.setattr(convert, "CODE", code)
    with pytest.raises(fk.CheckpointError, match=r"the process that opened it ended .*memory"):
        convert_pickle(tmp_path / "a.pt")


def answer_with(monkeypatch, answer):
    monkeypatch.setattr(convert, "_ask", lambda *arguments: answer)


def test_several_states_are_an_error_that_lists_them(tmp_path, monkeypatch):
    save(tmp_path / "a.pt")
    each = {"key": "model_ema", "tensors": 2, "values": 9, "first": "weight"}
    answer_with(monkeypatch, {"choices": [each]})
    with pytest.raises(fk.CheckpointError, match="more than one state dict; choose:\n  --key mod"):
        convert_pickle(tmp_path / "a.pt")
    with pytest.raises(fk.CheckpointError, match="has nothing under --key 'ema'; choose:"):
        convert_pickle(tmp_path / "a.pt", key="ema")


def test_paths_are_checked_before_anything_is_opened(tmp_path, monkeypatch):
    answer_with(monkeypatch, None)
    save(tmp_path / "a.pt")
    (tmp_path / "there.safetensors").write_text("mine")
    (tmp_path / "folder.safetensors").mkdir()
    for source, target, said in (
        ("b.pt", None, "there is no file"),
        ("there.safetensors", None, "is a safetensors file already"),
        ("a.pt", "out.pt", "does not end with .safetensors"),
        ("a.pt", "no/out.safetensors", "there is no folder"),
        ("a.pt", "there.safetensors", "is there already; --force replaces it"),
        ("a.pt", "folder.safetensors", "is there already; choose another name"),
    ):
        with pytest.raises(fk.CheckpointError, match=said):
            convert_pickle(tmp_path / source, target and tmp_path / target)
    assert (tmp_path / "there.safetensors").read_text() == "mine"


def test_what_was_there_is_kept_if_it_fails_and_replaced_by_force(tmp_path, monkeypatch):
    save(tmp_path / "a.pt")
    (tmp_path / "a.safetensors").write_text("mine")
    with monkeypatch.context() as patch:
        answer_with(patch, {"error": "it is odd"})
        with pytest.raises(fk.CheckpointError, match="is not converted: it is odd"):
            convert_pickle(tmp_path / "a.pt", force=True)
    assert (tmp_path / "a.safetensors").read_text() == "mine"
    convert_pickle(tmp_path / "a.pt", force=True)
    assert len(read_tensors(tmp_path / "a.safetensors")) == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_a_process_that_hangs_is_ended(tmp_path, monkeypatch):
    save(tmp_path / "a.pt")
    monkeypatch.setattr(convert, "SECONDS", 0)
    with pytest.raises(fk.CheckpointError, match="took more than 0 seconds"):
        convert_pickle(tmp_path / "a.pt")


def test_an_error_names_the_file_that_was_asked_for(tmp_path, monkeypatch):
    save(tmp_path / "a.pt")

    def ask(source, fresh, key):
        return {"error": f"cannot read or write it: no space on {fresh}"}

    monkeypatch.setattr(convert, "_ask", ask)
    with pytest.raises(fk.CheckpointError, match=r"no space on \S*/a\.safetensors$"):
        convert_pickle(tmp_path / "a.pt")
