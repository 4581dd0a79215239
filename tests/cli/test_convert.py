"""``fusionkit checkpoint convert``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionkit.checkpoint.pickles import convert
from fusionkit.checkpoint.pickles.convert import Conversion


@pytest.fixture
def done(monkeypatch):
    told = Conversion(
        Path("best.pt"),
        Path("best.safetensors"),
        key="ema",
        tensors=2,
        values=1234,
        dropped={"epoch": "int"},
        shared=("out.weight",),
        sha256="ab" * 32,
    )
    asked = {}

    def stand_in(source, target, **options):
        asked.update(source=source, target=target, **options)
        return told

    monkeypatch.setattr(convert, "convert_pickle", stand_in)
    return asked


def test_a_person_is_told_what_was_written_and_what_not(done, at_terminal):
    assert at_terminal("checkpoint", "convert", "best.pt", "--key", "ema") == (
        "Wrote best.safetensors, and read it back: 2 tensors, 1,234 values.\n"
        "From 'ema' of best.pt.\n"
        "Left out, as no tensors: epoch (int)\n"
        "Written again, though one with another name's tensor: out.weight\n"
        f"sha256 {'ab' * 32}\n"
    )
    assert done == {"source": Path("best.pt"), "target": None, "key": "ema", "force": False}


def test_a_program_is_told_the_same(done, piped):
    code, out, _ = piped("checkpoint", "convert", "best.pt", "o.safetensors", "--force", "--json")
    assert code == 0
    assert json.loads(out)["target"] == "best.safetensors"
    assert json.loads(out)["dropped"] == {"epoch": "int"}
    assert (done["target"], done["force"]) == (Path("o.safetensors"), True)


def test_a_refusal_ends_with_the_code_of_bad_checkpoints(piped, tmp_path):
    code, out, err = piped("checkpoint", "convert", str(tmp_path / "no.pt"))
    assert (code, out) == (4, "")
    assert err == f"error: there is no file {tmp_path / 'no.pt'}\n"
