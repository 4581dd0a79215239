from __future__ import annotations

from fusionkit.testing.sweep.plan import draw, in_order, matching, smallest_of_each_family
from fusionkit.testing.sweep.row import Row

FAMILIES = {"p/a1": "a", "p/a2": "a", "p/a3": "a", "p/b1": "b", "p/c1": "c", "p/c2": "c"}
SIZES = {"p/a1": 30, "p/a2": 10, "p/a3": 20, "p/c2": 5}
KNOWN = {name: Row(model=name, family="", parameters=size) for name, size in SIZES.items()}


def test_a_glob_matches_with_the_provider_or_without() -> None:
    assert matching(FAMILIES, None) == list(FAMILIES)
    assert matching(FAMILIES, "a*") == matching(FAMILIES, "p/a*") == ["p/a1", "p/a2", "p/a3"]
    assert matching(FAMILIES, "q*") == []


def test_a_draw_depends_on_its_seed_alone() -> None:
    drawn = draw(FAMILIES, 3, 7)
    assert drawn == draw(reversed(FAMILIES), 3, 7)
    assert len(set(drawn)) == 3
    assert any(draw(FAMILIES, 3, 7) != draw(FAMILIES, 3, seed) for seed in range(5))
    assert sorted(draw(FAMILIES, 99, 0)) == sorted(FAMILIES)


def test_the_smallest_of_each_family_is_the_one_of_fewest_parameters() -> None:
    assert smallest_of_each_family(FAMILIES, KNOWN) == ["p/a2", "p/b1", "p/c2"]
    assert smallest_of_each_family(FAMILIES, {}) == ["p/a1", "p/b1", "p/c1"]


def test_every_family_is_seen_early() -> None:
    assert in_order(FAMILIES, KNOWN) == ["p/a2", "p/b1", "p/c2", "p/a3", "p/c1", "p/a1"]
