"""Tensors of a state dict: none larger than the file, shared ones whole under each name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import fusionkit as fk
from fusionkit.checkpoint.pickles.extract import extract


def test_what_is_no_tensor_is_dropped_and_told():
    taken = extract({"a": torch.ones(2), "epoch": 3, "_extra_state": None}, 1000)
    assert list(taken.tensors) == ["a"]
    assert taken.dropped == {"epoch": "int", "_extra_state": "NoneType"}


def test_a_parameter_becomes_a_tensor_without_gradient():
    taken = extract({"a": nn.Parameter(torch.ones(2))}, 1000)
    assert type(taken.tensors["a"]) is torch.Tensor


def test_f043_a_shape_larger_than_the_file_is_refused():
    bomb = torch.zeros(1).expand(10**12)
    with pytest.raises(fk.CheckpointError, match=r"'a' claims the shape \(1000000000000,\)"):
        extract({"a": bomb}, 1556)


def test_f043_many_names_of_one_memory_do_not_fill_a_disk():
    value = torch.zeros(100)
    with pytest.raises(fk.CheckpointError, match="more than 16 times its own 500"):
        extract({str(number): value for number in range(30)}, 500)


def test_f052_tied_tensors_are_told_and_kept_under_both_names():
    value = torch.zeros(4, 2)
    taken = extract({"in": value, "out": value, "turned": value.t(), "other": value + 1}, 1000)
    assert taken.shared == ("out",)
    assert list(taken.tensors) == ["in", "out", "turned", "other"]


class Marked(torch.Tensor):
    """A tensor of another class."""


KINDS = {
    "is sparse": torch.zeros(2, 2).to_sparse(),
    "is a tensor without values": torch.empty(2, device="meta"),
    "is a Marked": torch.zeros(2).as_subclass(Marked),
}


@pytest.mark.parametrize("said", KINDS)
def test_f052_kinds_that_no_tensor_file_holds_are_refused(said):
    with pytest.raises(fk.CheckpointError, match=said):
        extract({"a": KINDS[said]}, 1000)
