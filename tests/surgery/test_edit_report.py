"""The report of an edit, for people and for programs."""

from __future__ import annotations

import json

import torch

from fusionkit.surgery.edit_report import EditReport

OLD = {
    "branches.a.one": torch.zeros(1),
    "branches.b.one": torch.zeros(2),
    "head.own": torch.zeros(2),
    "head.joint": torch.zeros(2, 3),
}
NEW = {**OLD, "branches.b.one": torch.zeros(3), "head.joint": torch.zeros(2, 4)}
REPORT = EditReport.compare(OLD, NEW, ["branches.a.one", "head.own"])


def test_every_name_is_of_one_kind():
    assert REPORT.kept == ("branches.a.one", "head.own")
    assert REPORT.fresh == REPORT.left == ("branches.b.one", "head.joint")
    assert REPORT.reshaped == (("head.joint", (2, 3), (2, 4)),)


def test_it_is_data():
    assert set(json.loads(json.dumps(REPORT.to_data()))) == {"kept", "fresh", "left", "reshaped"}


def test_it_is_a_table():
    assert (
        str(REPORT)
        == """\
  kept           2  a (1), head (1)
  fresh          2  b (1), head (1)
  left           2  b (1), head (1)
  reshaped       1  head.joint (2, 3) -> (2, 4)"""
    )
    assert str(EditReport.compare({}, {}, [])).endswith("left           0")
