"""What cannot be copied or pickled is told by its name."""

from __future__ import annotations

import threading

import pytest
import torch
from evil_heads import KeepsItsLastScores
from torch import nn

import fusionkit.testing as kit
from fusionkit.testing.copied import UncopiedError, deepcopied, pickled_and_back


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))


def test_a_copy_is_equal_and_of_its_own():
    module = build()
    for twin in (deepcopied(module), pickled_and_back(module)):
        assert torch.equal(twin[0].weight, module[0].weight)
        assert twin[0].weight is not module[0].weight


def test_the_attribute_is_named():
    module = build()
    module[1][0].lock = threading.Lock()
    with pytest.raises(UncopiedError, match=r"self\.1\.0\.lock: TypeError: cannot pickle"):
        deepcopied(module)
    module[1][0].lock = lambda x: x
    deepcopied(module)
    with pytest.raises(UncopiedError, match=r"self\.1\.0\.lock: .*lambda"):
        pickled_and_back(module)


class RaisesAsAWhole(nn.Linear):
    def __deepcopy__(self, memo):
        raise NotImplementedError("no copies")


def test_what_no_attribute_is_to_blame_for_is_raised_as_it_is():
    with pytest.raises(NotImplementedError, match="no copies"):
        deepcopied(RaisesAsAWhole(2, 2))


def test_a_head_is_told_which_of_its_tensors_has_a_history():
    report = kit.check_head(KeepsItsLastScores, only=["deepcopy"], on_fail="report")
    assert "UncopiedError: self.last: RuntimeError: Only Tensors created" in str(report)
