"""Stages and levels as values."""

from __future__ import annotations

import copy
import pickle

import pytest

import fusionkit as fk

STAGES = [
    fk.Stage("stem"),
    fk.Stage("stem", ("conv1", "bn1")),
    fk.Stage("stem", "conv1", ("bn1",)),
    fk.Stage("layer1", "layer1.0", "layer1.1"),
    fk.Stage("it's", "a", ("b", "c")),
]


@pytest.mark.parametrize("stage", STAGES, ids=repr)
def test_repr_pickle_and_copies_come_back_equal(stage: fk.Stage) -> None:
    assert eval(repr(stage), vars(fk)) == stage
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert copy.deepcopy(stage) == stage
    assert hash(stage) == hash(copy.copy(stage))


def test_a_stage_without_blocks_is_one_block_of_its_own_name() -> None:
    assert fk.Stage("stem").blocks == (("stem",),)
    assert fk.Stage("stem") == fk.Stage("stem", "stem") == fk.Stage("stem", ("stem",))
    assert repr(fk.Stage("stem")) == "Stage('stem')"


def test_a_list_of_paths_is_taken_as_a_block() -> None:
    assert fk.Stage("stem", ["conv1", "bn1"]) == fk.Stage("stem", ("conv1", "bn1"))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "layer/1"])
def test_a_name_that_groups_could_not_carry(name: str) -> None:
    with pytest.raises(fk.AssemblyError, match="a stage's name is not empty and has no slash"):
        fk.Stage(name, "conv1")


@pytest.mark.parametrize("blocks", [((),), ("",), ("conv1", ("bn1", ""))])
def test_an_empty_block(blocks: tuple[str, ...]) -> None:
    with pytest.raises(fk.AssemblyError, match="stage 'stem' has a block without modules"):
        fk.Stage("stem", *blocks)


def test_stages_and_levels_are_frozen() -> None:
    with pytest.raises(AttributeError):
        fk.Stage("stem").name = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        fk.Level(8, 2).stride = 4  # type: ignore[misc]
    assert eval(repr(fk.Level(8, 2)), vars(fk)) == fk.Level(8, 2)
