"""``python -m fusionkit.testing pairs``, with a provider some of whose models are rough."""

from __future__ import annotations

import pytest
from toys import ToyPlugin

from fusionkit.catalog import Catalog
from fusionkit.errors import ConfigError
from fusionkit.testing.pairs.command import join_pairs, small_enough
from fusionkit.testing.sweep.row import Row
from fusionkit.testing.sweep.run import Limits


def test_only_what_was_counted_and_is_small_is_drawn() -> None:
    known = {
        name: Row(model=name, family="x", parameters=count)
        for name, count in {"a/s": 1_000_000, "a/l": 9_000_000, "a/unknown": 0}.items()
    }
    assert small_enough(["a/s", "a/l", "a/unknown", "a/new"], known, 5) == ["a/s"]
    with pytest.raises(ConfigError, match="sweep them first, or leave --largest out"):
        small_enough(["a/new"], known, 5)


def test_every_pair_is_told_and_counted() -> None:
    said: list[str] = []
    catalog = Catalog.installed().with_plugin("toy", ToyPlugin())
    good = join_pairs(
        ["toy/tiny", "toy/vector"],
        6,
        1,
        limits=Limits(4.0, 2.0),
        jobs=2,
        say=said.append,
        catalog=catalog,
        heads=["concat", "two_stream_maps"],
    )
    assert not good
    assert said[0] == "6 pairs of 2 models"
    failed = [line for line in said if "FAILED" in line]
    joined = [line for line in said if "] joined" in line]
    assert len(failed) + len(joined) == 6
    assert all("two_stream_maps" in line and "toy/vector" in line for line in failed)
    assert any("has no maps" in line for line in said)
    assert said[-1] == f"{len(joined)} joined, {len(failed)} failed"
