"""A part says what of a branch learns, how fast, and how warm it is."""

from __future__ import annotations

import pytest
from odd_toys import branch, build

import fusionkit as fk


def part(**settings):
    return build({"a": branch("tiny", **settings)}).parts["a"]


def test_what_may_never_learn_does_not_learn_under_any_policy():
    fixed = build({"a": "author_frozen"}).parts["a"]
    assert fixed.learning(0) == {"one.weight", "three.weight", "three.bias"}


def test_rates_go_by_stage_or_by_block():
    by_stage = part(lr=fk.LR(1.0, layer_decay=0.5))
    by_block = part(lr=fk.LR(1.0, layer_decay=0.5, by="block"))
    rates = {slot.name: by_stage.rate(slot) for slot in by_stage.anatomy.slots}
    assert rates["top.weight"] == 1.0
    assert rates["body.0.weight"] == rates["body.3.weight"] == pytest.approx(0.5**6)
    assert rates["stem.0.weight"] == pytest.approx(0.5**12)
    rates = {slot.name: by_block.rate(slot) for slot in by_block.anatomy.slots}
    assert rates["body.0.weight"] == pytest.approx(0.5**8)
    assert rates["body.3.weight"] == pytest.approx(0.5**4)


def test_warmth_counts_from_the_thaw_and_waits_at_its_beginning():
    gradual = part(freeze=fk.Freeze.gradual(start=1, every=2), lr=fk.LR(warmup=3))
    assert [gradual.warmth(2, epoch) for epoch in (0, 1, 1.5, 2, 3, 4, 9)] == [
        *(0.25, 0.25, 0.375, 0.5, 0.75, 1.0, 1.0)
    ]
    assert [gradual.warmth(0, epoch) for epoch in (0, 5, 6)] == [0.25, 0.25, 0.5]
    assert part().warmth(0, 0) == 1.0
