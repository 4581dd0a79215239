"""``fusionkit checkpoint match``."""

from __future__ import annotations

import json
import os

import pytest
import torch
from safetensors.torch import save_file

from fusionkit.cli.match import _hint
from fusionkit.tensors.source import open_source


@pytest.fixture
def file(tmp_path, catalog, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    toy = catalog.backbone("toys/net").factory(in_channels=3, weights=None, num_classes=None)
    tensors = {f"module.{name}": value for name, value in toy.state_dict().items()}
    save_file(tensors, "net.safetensors")
    return "net.safetensors"


def test_a_search_at_a_terminal_ends_with_the_branch_to_write(file, at_terminal):
    assert at_terminal("checkpoint", "match", file, "--all") == (
        "3 architectures tried, 1 could not be looked at\n"
        "        found   left over   architectures\n"
        "fits   6 of 6           0   toys/net, toys/both, toys/picky\n"
        "Architectures of one layout may still compute different things (padding,\n"
        "activations, normalisation), which no file tells: compare answers on known data.\n"
        "\n"
        "toys/net fits\n"
        "  loaded          6\n"
        "  renamed         1  module. -> (nothing)\n"
        "\n"
        "  fk.Branch('toys/net', weights='net.safetensors')\n"
    )


def test_one_architecture_for_a_program(file, piped):
    code, out, _ = piped("checkpoint", "match", file, "toys/both", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["fits"][0]["verdict"] == "fits"
    assert told["fits"][0]["branch"] == "fk.Branch('toys/both', weights='net.safetensors')"
    assert told["fits"][0]["report"]["renamed"] == {"module.": ""}
    assert "found" not in told


def test_if_nothing_fits_the_exit_code_says_so(catalog, piped, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    save_file({"a": torch.zeros(4, 3, 3, 3)}, tmp_path / "other.safetensors")
    code, out, _ = piped("checkpoint", "match", str(tmp_path / "other.safetensors"))
    assert code == 1
    assert "near" in out
    assert "Nothing fits; what is near was told by shapes alone" in out
    code, out, _ = piped("checkpoint", "match", str(tmp_path / "other.safetensors"), "toys/net")
    assert code == 1
    assert "toys/net does not fit" in out


def test_a_search_fetches_nothing(file, piped, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    piped("checkpoint", "match", file)
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_words_around_the_file_name_the_architecture(tmp_path):
    folder = tmp_path / "resnet50.a1_in1k"
    folder.mkdir()
    (folder / "config.json").write_text('{"architecture": "resnet50"}')
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors", {"net": "vit_tiny"})
    assert _hint(open_source(folder)) == "resnet50.a1_in1k vit_tiny resnet50"
    (folder / "config.json").write_text("{")
    assert _hint(open_source(folder)) == "resnet50.a1_in1k vit_tiny "
