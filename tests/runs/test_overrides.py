"""Single fields are set from the command line, by their path."""

from __future__ import annotations

import pytest

from fusionkit.errors import ConfigError
from fusionkit.runs.overrides import apply_overrides


def test_a_value_is_yaml_and_a_path_that_is_not_there_is_made():
    data = {"head": "concat"}
    changed = apply_overrides(
        data, ["training.lr=3e-4", "training.clip=null", "data.texts=[a, b]"], "recipe.yaml"
    )
    assert changed == {
        "head": "concat",
        "training": {"lr": 3e-4, "clip": None},
        "data": {"texts": ["a", "b"]},
    }
    assert data == {"head": "concat"}


def test_a_branch_or_head_that_is_only_a_name_becomes_a_mapping():
    data = {"branches": {"rgb": "timm/resnet18"}, "head": "concat"}
    changed = apply_overrides(data, ["branches.rgb.freeze=all", "head.options.hidden=8"], "x")
    assert changed == {
        "branches": {"rgb": {"backbone": "timm/resnet18", "freeze": "all"}},
        "head": {"name": "concat", "options": {"hidden": 8}},
    }


def test_values_may_hold_equals_signs_and_may_be_empty():
    assert apply_overrides({}, ["data.source=a=b", "data.label="], "x") == {
        "data": {"source": "a=b", "label": None}
    }


def test_lists_of_the_file_are_not_shared():
    data = {"data": {"texts": ["a"]}}
    changed = apply_overrides(data, ["training.lr=1"], "x")
    changed["data"]["texts"].append("b")
    assert data == {"data": {"texts": ["a"]}}


@pytest.mark.parametrize(
    ("data", "overrides", "said"),
    [
        ({}, ["training.lr"], r"--set takes PATH=VALUE, for example .*; got 'training\.lr'"),
        ({}, ["training..lr=1"], r"--set takes PATH=VALUE"),
        ({}, ["=1"], r"--set takes PATH=VALUE"),
        ({}, ["head=1", "head=2"], r"--set head: stands twice"),
        ({"training": 3}, ["training.lr=1"], r"--set training\.lr: training is 3, .* field 'lr'"),
        ([], ["a=1"], r"recipe\.yaml: nothing can be set in what is no mapping"),
        ({}, ["a=[1"], r"--set a"),
    ],
)
def test_what_cannot_be_set_is_refused(data, overrides, said):
    with pytest.raises(ConfigError, match=said):
        apply_overrides(data, overrides, "recipe.yaml")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "branches.shpe.freeze=all",
            r"--set branches\.shpe\.freeze: there is no branch 'shpe'\. Did",
        ),
        (
            "trainin.lr=1",
            r"--set trainin\.lr: there is no field 'trainin'\. Did you mean 'training'",
        ),
    ],
)
def test_a_place_that_there_is_not_is_told_as_what_was_written(override, message):
    data = {"branches": {"shape": "timm/x"}, "head": "concat"}
    with pytest.raises(ConfigError, match=message):
        apply_overrides(data, [override], "m.yaml")
