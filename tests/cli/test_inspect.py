"""``fusionkit checkpoint inspect``."""

from __future__ import annotations

import json

import pytest
import torch
from odd_toys import build
from safetensors.torch import save_file

import fusionkit as fk


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tensors = {
        "module.conv.weight": torch.zeros(8, 3, 2, 2),
        "module.fc.weight": torch.zeros(5, 8),
        "module.fc.bias": torch.zeros(5, dtype=torch.float16),
    }
    save_file(tensors, "net.safetensors", {"made[bold]": "by me"})
    return "net.safetensors"


def test_a_file_at_a_terminal(file, at_terminal):
    assert at_terminal("checkpoint", "inspect", file) == (
        "net.safetensors\n"
        "size       826 B in 1 file\n"
        "metadata   made[bold]: by me\n"
        "\n"
        "module        tensors   values    size   types     shape\n"
        "module.conv         1       96   384 B   F32       8 x 3 x 2 x 2\n"
        "module.fc           2       45   170 B   F16 F32\n"
        "all                 3      141   554 B   F16 F32\n"
        "\n"
        "guessed from names and shapes\n"
        "  a wrapper put 'module.' before every name; loading finds that by itself\n"
        "  'module.fc' is a classifier of 5 classes, 8 wide\n"
        "  its first convolution reads 3 channels\n"
    )


def test_every_tensor_and_only_some(file, at_terminal):
    out = at_terminal("checkpoint", "inspect", file, "--tensors", "--filter", "*.fc.*")
    assert out.endswith(
        "tensor             values    size   type   shape\n"
        "module.fc.bias          5    10 B   F16    5\n"
        "module.fc.weight       40   160 B   F32    5 x 8\n"
    ) or out.endswith(
        "tensor             values    size   type   shape\n"
        "module.fc.weight       40   160 B   F32    5 x 8\n"
        "module.fc.bias          5    10 B   F16    5\n"
    )
    assert "no tensor has such a name" in at_terminal(
        "checkpoint", "inspect", file, "--filter", "nix*"
    )


def test_a_file_for_a_program(file, piped):
    code, out, _ = piped("checkpoint", "inspect", file, "--json")
    told = json.loads(out)
    assert code == 0
    assert told["tensors"]["module.fc.bias"] == {"dtype": "F16", "shape": [5]}
    assert told["total"]["values"] == 141
    assert told["metadata"] == {"made[bold]": "by me"}


def test_a_saved_model_shows_its_recipe(tmp_path, at_terminal, piped):
    folder = fk.save(build({"a": fk.Branch("odd/odd", weights=None)}), tmp_path / "saved")
    out = at_terminal("checkpoint", "inspect", str(folder))
    assert f"fusionkit {fk.__version__}, torch" in out
    assert "branch a" in out
    assert "odd/odd (random weights)" in out
    _, told, _ = piped("checkpoint", "inspect", str(folder), "--json")
    assert json.loads(told)["saved"]["recipe"]["branches"]["a"]["backbone"] == "odd/odd"
    assert set(json.loads(told)["saved"]["branches"]) == {"a"}


def test_a_damaged_file_ends_with_the_code_of_bad_checkpoints(tmp_path, piped):
    (tmp_path / "a.safetensors").write_bytes(b"PK\x03\x04" + bytes(100))
    code, out, err = piped("checkpoint", "inspect", str(tmp_path / "a.safetensors"))
    assert (code, out) == (4, "")
    assert "`fusionkit checkpoint convert` makes a safetensors file of it" in err
