"""From parameters to the modules that hold them."""

from __future__ import annotations

from fusionkit import cover_parameters


def test_the_fewest_paths_that_hold_exactly_these():
    everything = ["a.x", "a.y", "b.c.x", "b.c.y", "b.d", "e"]
    assert cover_parameters(["a.x", "a.y", "e"], everything) == ["a", "e"]
    assert cover_parameters(["b.c.x", "b.c.y"], everything) == ["b.c"]
    assert cover_parameters(["b.c.x"], everything) == ["b.c.x"]
    assert cover_parameters(everything, everything) == ["a", "b", "e"]
    assert cover_parameters([], everything) == []


def test_they_come_in_the_order_of_all():
    assert cover_parameters(iter(["c.z", "a"]), iter(["a", "b", "c.z"])) == ["a", "c"]
