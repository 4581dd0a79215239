"""What every operation asks of a model first."""

from __future__ import annotations

import pytest
import torch
from surgery_toys import fused

import fusionkit as fk
from fusionkit.surgery.subject import check_branch, check_model, check_unchanged


def test_a_wrapped_model_is_told_from_any_other_module():
    model = fused()
    assert check_model("it", model) is model
    with pytest.raises(fk.ConfigError, match=r"it takes a FusedModel.*got Linear$"):
        check_model("it", torch.nn.Linear(1, 1))
    with pytest.raises(fk.ConfigError, match=r"got OptimizedModule; give its \._orig_mod"):
        check_model("it", torch.compile(model))
    with pytest.raises(fk.ConfigError, match=r"got str$"):
        check_model("it", "folder")


def test_a_branch_must_be_there():
    check_branch("a", {"a": 1})
    with pytest.raises(fk.ConfigError, match=r"no branch 'ab', only 'abc', 'x'\. Did you .*'abc'"):
        check_branch("ab", ["abc", "x"])
    with pytest.raises(fk.ConfigError, match="no branch 3"):
        check_branch(3, ["a"])


def test_a_change_by_hand_is_told():
    model = fused()
    check_unchanged(model)
    del model.head.out["rgb"]
    with pytest.raises(fk.AssemblyError, match=r"'head\.out\.rgb\.\w+' is gone since"):
        check_unchanged(model)
