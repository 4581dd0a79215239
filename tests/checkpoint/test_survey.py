"""What is in a checkpoint, from its headers alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from odd_toys import build
from safetensors.torch import save_file

import fusionkit as fk
from fusionkit.checkpoint.survey import survey

TENSORS = {
    "net.stem.weight": torch.zeros(8, 3, 2, 2),
    "net.blocks.10.weight": torch.zeros(4, 2, dtype=torch.float16),
    "net.blocks.2.weight": torch.zeros(4, 2),
    "net.blocks.2.count": torch.zeros((), dtype=torch.int64),
    "net.fc.weight": torch.zeros(5, 4),
}


def test_modules_are_counted_and_sorted_as_people_count(tmp_path):
    save_file(TENSORS, tmp_path / "a.safetensors", {"note": "mine"})
    found = survey(tmp_path / "a.safetensors")
    rows = {row.name: row for row in found.modules()}
    assert list(rows) == ["net.blocks.2", "net.blocks.10", "net.fc", "net.stem"]
    two = rows["net.blocks.2"]
    assert (two.tensors, two.values, two.bytes) == (2, 9, 40)
    assert (two.dtypes, two.shape) == (("F32", "I64"), None)
    assert rows["net.stem"].shape == (8, 3, 2, 2)
    assert (found.total.tensors, found.total.values) == (5, 96 + 8 + 9 + 20)
    assert found.metadata == {"note": "mine"}
    assert found.saved is None


def test_what_is_guessed_is_told_apart(tmp_path):
    save_file(TENSORS, tmp_path / "a.safetensors")
    assert survey(tmp_path / "a.safetensors").guesses() == (
        "a wrapper put 'net.' before every name; loading finds that by itself",
        "'net.fc' is a classifier of 5 classes, 4 wide",
        "its first convolution reads 3 channels",
    )


def test_shards_are_one_set(tmp_path):
    save_file({"a.x": torch.zeros(2)}, tmp_path / "one.safetensors")
    save_file({"b.x": torch.zeros(2)}, tmp_path / "two.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {"a.x": "one.safetensors", "b.x": "two.safetensors"}})
    )
    for path in (index, tmp_path):
        found = survey(path)
        assert set(found.files) == {"one.safetensors", "two.safetensors"}
        assert found.total.tensors == 2


def test_a_saved_model_tells_what_it_is(tmp_path):
    model = build({"a": fk.Branch("odd/odd", weights=None)})
    folder = fk.save(model.set_epoch(3), tmp_path / "saved")
    found = survey(folder)
    assert found.saved is not None
    assert found.saved.epoch == 3
    assert set(found.entries) == set(model.state_dict())


def test_no_tensor_is_read(tmp_path, monkeypatch):
    save_file(TENSORS, tmp_path / "a.safetensors")
    monkeypatch.setattr(torch, "empty", None)
    assert survey(tmp_path / "a.safetensors").modules()


def test_f033_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "a.safetensors").write_text("<html>")
    with pytest.raises(fk.CheckpointError, match="it is a web page"):
        survey(tmp_path / "a.safetensors")
    with pytest.raises(fk.CheckpointError, match="there is no file"):
        survey(Path(tmp_path / "b.safetensors"))
