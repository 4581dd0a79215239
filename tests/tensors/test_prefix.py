"""A prefix that all names share is told, with what to do about it."""

from __future__ import annotations

import time

import pytest

from fusionkit.tensors.prefix import explain_prefix

NAMES = ["conv.weight", "conv.bias", "norm.weight"]


def test_a_prefix_in_the_file_is_told_with_where_it_comes_from() -> None:
    said = explain_prefix(["module." + name for name in NAMES], NAMES)
    assert "in the file begin with 'module.'" in said
    assert "DataParallel puts it there; save model.module instead" in said
    said = explain_prefix(["_orig_mod." + name for name in NAMES], NAMES)
    assert "torch.compile puts it there; save model._orig_mod instead" in said
    said = explain_prefix(["module._orig_mod." + name for name in NAMES], NAMES)
    assert "begin with 'module._orig_mod.'" in said


def test_a_whole_model_given_for_one_part_is_told() -> None:
    theirs = [f"branches.{branch}.trunk.{name}" for branch in ("a", "b") for name in NAMES]
    said = explain_prefix([*theirs, "head.weight"], NAMES)
    assert "begin with 'branches.a.trunk.'" in said
    assert "name.removeprefix('branches.a.trunk.') for each name" in said


def test_a_part_given_for_a_whole_model_is_told() -> None:
    said = explain_prefix(NAMES, ["trunk." + name for name in NAMES])
    assert "in the model begin with 'trunk.', those in the file do not" in said
    assert "load it into the part of the model" in said


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ([], []),
        (NAMES, []),
        ([], NAMES),
        (["stem.weight"], ["head.bias"]),
        (["preconv.weight", "preconv.bias", "prenorm.weight"], NAMES),
        (["a.conv.weight", "b.conv.bias", "c.norm.weight"], NAMES),
    ],
)
def test_nothing_is_said_where_there_is_no_prefix(theirs: list[str], ours: list[str]) -> None:
    assert explain_prefix(theirs, ours) == ""


def test_a_file_made_to_take_long_does_not() -> None:
    theirs = [f"p{i}.conv.weight" for i in range(200_000)]
    ours = ["conv.weight", *(f"layer{i}.weight" for i in range(2000))]
    start = time.process_time()
    assert explain_prefix(theirs, ours) == ""
    assert time.process_time() - start < 2
