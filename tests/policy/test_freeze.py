"""Which part of a branch learns at which epoch."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusionkit as fk
from fusionkit.policy.slots import Anatomy, Slot

NAMES = ("stem", "layer1", "layer2", "layer3")
ANATOMY = Anatomy(
    NAMES,
    tuple(
        Slot(f"{stage}.{part}", index, index, norm=part.startswith("bn"), bias="bias" in part)
        for index, stage in enumerate(NAMES)
        for part in ("conv.weight", "conv.bias", "bn.weight", "bn.bias")
    ),
)

MODES = {
    "norm": st.sampled_from(["follow", "eval"]),
    "dropout": st.sampled_from(["follow", "eval"]),
}
FREEZES = st.one_of(
    st.builds(
        fk.Freeze.on_plateau,
        st.sampled_from(["val_loss", "val_accuracy"]),
        st.integers(1, 9),
        st.integers(1, 5),
        mode=st.sampled_from(["min", "max"]),
        min_delta=st.floats(0, 2),
        start=st.integers(0, 9),
        **MODES,
    ),
    st.builds(fk.Freeze.all, **MODES),
    st.builds(fk.Freeze.none, **MODES),
    st.builds(fk.Freeze.last, st.integers(0, 4), **MODES),
    st.builds(fk.Freeze.until, st.sampled_from(NAMES), **MODES),
    st.sampled_from([("norm",), ("bias", "norm"), ("layer?.conv.*",)]).flatmap(
        lambda patterns: st.builds(fk.Freeze.only, *map(st.just, patterns), **MODES)
    ),
    st.builds(
        fk.Freeze.gradual,
        st.none() | st.integers(0, 20),
        st.integers(1, 9),
        st.integers(1, 5),
        **MODES,
    ),
)


def stages_of(names: frozenset[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize(
    ("freeze", "expected"),
    [
        (fk.Freeze.all(), set()),
        (fk.Freeze.none(), set(NAMES)),
        (fk.Freeze.last(0), set()),
        (fk.Freeze.last(2), {"layer2", "layer3"}),
        (fk.Freeze.last(4), set(NAMES)),
        (fk.Freeze.until("layer3"), {"layer3"}),
        (fk.Freeze.until("stem"), set(NAMES)),
    ],
)
@pytest.mark.parametrize("epoch", [0, 7])
def test_suffixes(freeze: fk.Freeze, expected: set[str], epoch: int) -> None:
    assert stages_of(freeze.learning(ANATOMY, epoch)) == expected
    assert len(freeze.learning(ANATOMY, epoch)) == 4 * len(expected)


def test_only_norms_biases_and_globs() -> None:
    def parts(*patterns: str) -> set[str]:
        names = fk.Freeze.only(*patterns).learning(ANATOMY, 0)
        assert stages_of(names) <= set(NAMES)
        return {name.split(".", 1)[1] for name in names}

    assert parts("norm") == {"bn.weight", "bn.bias"}
    assert parts("bias") == {"conv.bias", "bn.bias"}
    assert parts("norm", "bias") == {"bn.weight", "bn.bias", "conv.bias"}
    assert parts("*.conv.weight") == {"conv.weight"}
    assert fk.Freeze.only("layer[12].conv.*").learning(ANATOMY, 0) == {
        "layer1.conv.weight",
        "layer1.conv.bias",
        "layer2.conv.weight",
        "layer2.conv.bias",
    }


def test_gradual_by_hand() -> None:
    freeze = fk.Freeze.gradual(start=1, every=2)
    counts = [freeze.learning_stages(NAMES, epoch) for epoch in range(9)]
    assert counts == [0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert [freeze.thaw_epoch(stage, 4) for stage in range(4)] == [7, 5, 3, 1]
    assert fk.Freeze.gradual(every=3) == fk.Freeze.gradual(start=3, every=3)
    pairs = fk.Freeze.gradual(start=0, every=5, stages=3)
    assert [pairs.learning_stages(NAMES, epoch) for epoch in (0, 4, 5)] == [3, 3, 4]


def test_on_plateau_by_hand() -> None:
    freeze = fk.Freeze.on_plateau("val_accuracy", 3, mode="max", stages=2)
    counts = [freeze.learning_stages(NAMES, epoch, (2, 5)) for epoch in range(7)]
    assert counts == [0, 0, 2, 2, 2, 4, 4]
    assert [freeze.thaw_epoch(stage, 4, (2,)) for stage in range(4)] == [None, None, 2, 2]
    assert freeze.learning(ANATOMY, 100) == frozenset()


@settings(deadline=None)
@given(st.none() | st.integers(0, 30), st.integers(1, 10), st.integers(1, 12), st.integers(1, 30))
def test_a_stage_learns_from_its_thaw_epoch_on_and_not_before(
    start: int | None, every: int, stages: int, total: int
) -> None:
    freeze = fk.Freeze.gradual(start, every, stages)
    names = tuple(map(str, range(total)))
    last = max(freeze.thaw_epoch(stage, total) for stage in range(total))
    for epoch in range(last + 2):
        first = total - freeze.learning_stages(names, epoch)
        for stage in range(total):
            assert (stage >= first) == (epoch >= freeze.thaw_epoch(stage, total))
    assert freeze.learning_stages(names, last) == total


@settings(deadline=None)
@given(FREEZES, st.integers(0, 200), st.integers(0, 200))
def test_every_rule_is_pure_and_only_ever_thaws(freeze: fk.Freeze, one: int, other: int) -> None:
    before = copy.deepcopy(freeze)
    early, late = sorted((one, other))
    learning = freeze.learning(ANATOMY, early)
    assert learning <= freeze.learning(ANATOMY, late)
    assert learning == freeze.learning(ANATOMY, early)
    assert learning <= {slot.name for slot in ANATOMY.slots}
    assert freeze == before


@settings(deadline=None)
@given(FREEZES)
def test_repr_pickle_and_hash_come_back_equal(freeze: fk.Freeze) -> None:
    assert eval(repr(freeze), {"Freeze": fk.Freeze}) == freeze
    assert pickle.loads(pickle.dumps(freeze)) == freeze
    assert hash(copy.copy(freeze)) == hash(freeze)


def test_repr_is_what_one_writes() -> None:
    assert repr(fk.Freeze.all()) == "Freeze.all()"
    assert repr(fk.Freeze.last(2, norm="eval")) == "Freeze.last(2, norm='eval')"
    assert repr(fk.Freeze.until("layer3")) == "Freeze.until('layer3')"
    assert repr(fk.Freeze.only("norm", "*.bias")) == "Freeze.only('norm', '*.bias')"
    assert repr(fk.Freeze.gradual(2, 3, 4)) == "Freeze.gradual(start=2, every=3, stages=4)"
    plateau = fk.Freeze.on_plateau("val_accuracy", 3, mode="max", start=1)
    said = "Freeze.on_plateau('val_accuracy', patience=3, mode='max', start=1)"
    assert repr(plateau) == said


@pytest.mark.parametrize("count", [True, 1.0, -1, "2", None, float("nan")])
def test_last_takes_a_count(count: Any) -> None:
    with pytest.raises(fk.PolicyError, match=r"Freeze\.last takes a number of stages >= 0, got"):
        fk.Freeze.last(count)


def test_last_of_more_stages_than_there_are() -> None:
    with pytest.raises(fk.PolicyError, match=r"more stages than there are: 4 \(stem, .*none\(\)"):
        fk.Freeze.last(5).learning(ANATOMY, 0)


@pytest.mark.parametrize("stage", ["", None, 3, ("layer1",)])
def test_until_takes_a_name(stage: Any) -> None:
    with pytest.raises(fk.PolicyError, match=r"Freeze\.until takes the name of the first stage"):
        fk.Freeze.until(stage)


def test_until_a_stage_that_is_nearly_there() -> None:
    with pytest.raises(fk.PolicyError, match=r"no stage 'layr3'\. Did you mean 'layer3'"):
        fk.Freeze.until("layr3").learning(ANATOMY, 0)


def test_until_a_stage_like_none_lists_the_stages() -> None:
    with pytest.raises(fk.PolicyError, match="The stages are stem, layer1, layer2, layer3"):
        fk.Freeze.until("q").learning(ANATOMY, 0)
    many = Anatomy(tuple(f"block{i}" for i in range(100)), ())
    with pytest.raises(fk.PolicyError, match=r"block3, \.\.\., block97, block98, block99\.$"):
        fk.Freeze.until("q").learning(many, 0)


@pytest.mark.parametrize("patterns", [(), ("",), (3,), (["norm"],), ("norm", None)])
def test_only_takes_patterns(patterns: tuple[Any, ...]) -> None:
    with pytest.raises(fk.PolicyError, match=r"Freeze\.only takes at least one of 'norm', 'bias'"):
        fk.Freeze.only(*patterns)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("layer1.conv.wieght", r"Did you mean 'layer1\.conv\.weight'"),
        ("norms", "Did you mean 'norm'"),
        ("zzz", r"names such as 'stem\.conv\.weight' and 'layer3\.bn\.bias'"),
    ],
)
def test_a_pattern_that_matches_nothing(pattern: str, message: str) -> None:
    with pytest.raises(fk.PolicyError, match=f"matches no parameter.*{message}"):
        fk.Freeze.only("norm", pattern).learning(ANATOMY, 0)


def test_a_branch_without_norms_biases_or_parameters() -> None:
    bare = Anatomy(("stem",), (Slot("conv.weight", 0, 0),))
    with pytest.raises(fk.PolicyError, match="This branch has no norm layers"):
        fk.Freeze.only("norm").learning(bare, 0)
    with pytest.raises(fk.PolicyError, match="This branch has no biases"):
        fk.Freeze.only("bias").learning(bare, 0)
    with pytest.raises(fk.PolicyError, match="This branch has no parameters"):
        fk.Freeze.only("*").learning(Anatomy(("stem",), ()), 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"every": 0}, "every >= 1"),
        ({"every": 1.5}, "every >= 1"),
        ({"every": True}, "every >= 1"),
        ({"every": "2"}, "every >= 1"),
        ({"start": -1}, "start >= 0"),
        ({"start": 0.0}, "start >= 0"),
        ({"start": False}, "start >= 0"),
        ({"stages": 0}, "stages >= 1"),
        ({"stages": None}, "stages >= 1"),
    ],
)
def test_gradual_takes_whole_numbers(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(fk.PolicyError, match=f"takes {message} as a whole number"):
        fk.Freeze.gradual(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metric": ""}, "takes the name of the metric that has to stall, for example 'val_loss'"),
        ({"metric": None}, "takes the name of the metric"),
        ({"mode": "less"}, "takes mode 'min' where less is better .* or 'max'.*; got 'less'"),
        ({"min_delta": -1.0}, "takes min_delta >= 0"),
        ({"min_delta": float("nan")}, "takes min_delta >= 0"),
        ({"patience": 0}, "takes patience >= 1 as a whole number"),
        ({"stages": 0}, "takes stages >= 1 as a whole number"),
        ({"start": -1}, "takes start >= 0 as a whole number"),
    ],
)
def test_on_plateau_takes_a_metric_and_whole_numbers(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(fk.PolicyError, match=rf"Freeze\.on_plateau {message}"):
        fk.Freeze.on_plateau(**fields)


@pytest.mark.parametrize("mode", ["train", None, True])
@pytest.mark.parametrize("field", ["norm", "dropout"])
def test_modes(field: str, mode: Any) -> None:
    with pytest.raises(fk.PolicyError, match=rf"Freeze\.{field} is 'follow' or 'eval', got"):
        fk.Freeze.all(**{field: mode})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rule": "every"}, "Freeze has no rule 'every': write one of"),
        ({"rule": None}, "Freeze has no rule None"),
        ({"rule": "all", "count": 2}, r"Freeze\.all takes no count; Freeze\.last does"),
        ({"rule": "last", "count": 2, "stage": "x"}, r"takes no stage; Freeze\.until does"),
        ({"rule": "none", "patterns": ("x",)}, r"takes no patterns; Freeze\.only does"),
        ({"rule": "until", "stage": "x", "every": 2}, r"takes no every; Freeze\.gradual does"),
    ],
)
def test_fields_that_do_not_belong_together(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(fk.PolicyError, match=message):
        fk.Freeze(**fields)


def test_a_misspelt_option_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="evry"):
        fk.Freeze.gradual(evry=2)  # type: ignore[call-arg]
