"""Pairs are drawn the same for the same seed, and can be written as recipes."""

from __future__ import annotations

import fusionkit as fk
from fusionkit.testing.pairs.draw import HEADS, draw_pairs

NAMES = [f"toy/net{index}" for index in range(20)]
OWN = list(HEADS)


def test_a_seed_gives_the_same_pairs_whatever_the_order_of_the_names() -> None:
    pairs = draw_pairs(NAMES, OWN, 30, seed=3)
    assert pairs == draw_pairs(NAMES[::-1], OWN[::-1], 30, seed=3)
    assert pairs != draw_pairs(NAMES, OWN, 30, seed=4)


def test_more_pairs_begin_with_the_fewer() -> None:
    assert draw_pairs(NAMES, OWN, 40, seed=0)[:10] == draw_pairs(NAMES, OWN, 10, seed=0)


def test_everything_is_drawn_in_time() -> None:
    pairs = draw_pairs(NAMES, OWN, 300, seed=0)
    assert {pair.head.name for pair in pairs} == set(OWN)
    assert {name for pair in pairs for name in pair.backbones} == set(NAMES)
    assert {freeze.rule for pair in pairs for freeze in pair.freeze} >= {
        *("all", "none", "last", "only", "gradual"),
    }
    assert {lr.by for pair in pairs for lr in pair.lr} == {"stage", "block"}


def test_fusionkits_own_heads_are_all_known_with_their_options() -> None:
    assert set(OWN) == set(fk.Catalog.installed().heads("heads"))
    assert sorted(OWN) == OWN


def test_a_head_of_a_stranger_goes_without_options() -> None:
    (pair,) = draw_pairs(NAMES, ["mine/head"], 1, seed=0)
    assert pair.head == fk.Head("mine/head")
    assert "seed" in str(pair)
    assert "mine/head" in str(pair)
