"""Policies count the stages in which something can learn, and no others."""

from __future__ import annotations

import pytest
from toys import toy_catalog

import fusionkit as fk
from fusionkit.features import Reads
from fusionkit.model.part import Part, with_thaws
from fusionkit.policy.slots import Anatomy, Slot


def part(freeze: fk.Freeze, lr: fk.LR | None = None) -> Part:
    names = ("stem", "one", "two", "classifier")
    slots = tuple(Slot(f"{name}.weight", index, index) for index, name in enumerate(names))
    settings = fk.Branch("toy/x", weights=None, freeze=freeze, lr=lr or fk.LR())
    learnable = frozenset(slot.name for slot in slots[:3])
    return Part(settings, Anatomy(names, slots), Reads(vector=True), learnable)


def test_a_stage_that_nobody_reads_is_nobodys_last() -> None:
    assert part(fk.Freeze.last(1)).learning(0) == {"two.weight"}
    gradual = part(fk.Freeze.gradual(start=1))
    assert [len(gradual.learning(epoch)) for epoch in range(5)] == [0, 1, 2, 3, 3]
    assert [gradual.thaw_epoch(stage) for stage in range(4)] == [3, 2, 1, 0]


def test_a_plateau_thaws_stages_that_can_learn() -> None:
    mine = part(fk.Freeze.on_plateau(), fk.LR(warmup=1))
    assert [mine.thaw_epoch(stage) for stage in range(4)] == [None, None, None, 0]
    assert mine.ever_learning() == mine.learnable
    assert mine.warmth(2, 7) == 0.5
    mine = with_thaws({"a": mine}, {"a": [2, 5]})["a"]
    assert [len(mine.learning(epoch)) for epoch in (1, 2, 4, 5)] == [0, 1, 1, 2]
    assert [mine.thaw_epoch(stage) for stage in range(4)] == [None, 5, 2, 0]
    assert [mine.warmth(1, epoch) for epoch in (5, 6)] == [0.5, 1.0]


def test_what_ever_learns() -> None:
    assert part(fk.Freeze.gradual(5, 3)).ever_learning() == part(fk.Freeze.none()).learning(0)
    assert part(fk.Freeze.last(1)).ever_learning() == {"two.weight"}
    assert part(fk.Freeze.all()).ever_learning() == frozenset()


@pytest.mark.parametrize(
    ("thaws", "message"),
    [
        ({"b": [1]}, "thaws: there is no branch 'b'"),
        ({"a": [2, 2]}, "branch 'a' takes epochs in ascending order, each once"),
        ({"a": [-1]}, "branch 'a' takes epochs in ascending order"),
        ({"a": [1.5]}, "branch 'a' takes epochs in ascending order"),
    ],
)
def test_thaws_that_do_not_fit(thaws, message) -> None:
    with pytest.raises(fk.PolicyError, match=message):
        with_thaws({"a": part(fk.Freeze.on_plateau())}, thaws)


def test_what_thaws_by_no_plateau_takes_no_thaws() -> None:
    with pytest.raises(fk.PolicyError, match=r"Freeze\.gradual.* which no plateau thaws"):
        with_thaws({"a": part(fk.Freeze.gradual())}, {"a": [1]})


@pytest.mark.parametrize("by", ["stage", "block"])
def test_rates_count_the_same_stages(by: str) -> None:
    mine = part(fk.Freeze.none(), fk.LR(0.5, layer_decay=0.5, by=by))
    rates = [mine.rate(slot) for slot in mine.anatomy.slots]
    assert rates == pytest.approx([0.5 * 0.5**12, 0.5 * 0.5**6, 0.5, 0.5])


def test_a_policy_names_only_stages_that_can_learn() -> None:
    with pytest.raises(fk.PolicyError, match=r"no stage 'classifier'.*stem, one, two"):
        part(fk.Freeze.until("classifier")).learning(0)


def test_a_head_that_reads_an_early_map_counts_from_there() -> None:
    settings = fk.Branch("toy/tiny", weights=None, freeze=fk.Freeze.last(1))
    head = fk.Head("toy/maps", level=0)
    model = fk.compose({"a": settings}, head, 3, catalog=toy_catalog())
    assert model.parts["a"].reach.stages == ("stem",)
    assert model.parts["a"].learning(0) == {"stem.0.weight", "stem.1.weight", "stem.1.bias"}
