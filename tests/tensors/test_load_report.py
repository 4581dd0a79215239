"""A report as a table and as data."""

from __future__ import annotations

import json

from fusionkit.tensors.report import LoadReport


def test_a_table_of_what_there_is_to_tell():
    report = LoadReport(
        "net.safetensors",
        loaded=tuple("abcdefg"),
        ignored=("fc.weight", "fc.bias"),
        kept=("mask",),
        converted=(("a", "torch.float16", "torch.float32"),),
        renamed={"module.": "", "": "x."},
        resized=(("pos", (1, 2), (1, 3)),),
        unexpected=tuple("wxyz"),
    )
    assert str(report).splitlines() == [
        "net.safetensors",
        "  loaded          7",
        "  renamed         2  module. -> (nothing), (nothing) -> x.",
        "  resized         1  pos (1, 2) -> (1, 3)",
        "  converted       1  a torch.float16 -> torch.float32",
        "  ignored         2  fc.weight, fc.bias",
        "  kept            1  mask",
        "  unexpected      4  w, x, y, ...",
    ]


def test_nothing_loaded_is_told_too():
    assert str(LoadReport()) == "  loaded          0"


def test_data_can_be_written_as_json():
    report = LoadReport("f", loaded=("a",), mismatched=(("b", (1,), (2,)),), renamed={"x.": ""})
    data = json.loads(json.dumps(report.to_data()))
    assert data["mismatched"] == [["b", [1], [2]]]
    assert data["renamed"] == {"x.": ""}
    assert data["missing"] == []
