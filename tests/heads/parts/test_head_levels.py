"""Which levels are read, and where they then lie."""

from __future__ import annotations

import pytest
from toy_features import make_inputs

import fusionkit as fk
from fusionkit.heads.parts.levels import find_level, find_places, read_levels


def test_levels_are_counted_from_the_finest_and_read_once():
    image = make_inputs(2)["image"]
    assert [find_level("image", image, level) for level in (0, 1, -1, -2)] == [0, 1, 1, 0]
    reads = read_levels({"image": [3, 1, 3]})
    assert reads == {"image": fk.Reads(maps=(1, 3))}
    assert find_places(reads, {"image": 3}) == {"image": 1}


@pytest.mark.parametrize(
    ("level", "error", "message"),
    [
        (2, fk.AssemblyError, "branch 'image' has no level 2: it has 2 levels of maps"),
        (-3, fk.AssemblyError, "so level is -2 to 1"),
        (True, fk.ConfigError, "option level takes a whole number, -1 for the coarsest"),
        ("last", fk.ConfigError, "got 'last'"),
    ],
)
def test_levels_that_are_not_there_are_refused(level, error, message):
    with pytest.raises(error, match=message):
        find_level("image", make_inputs(2)["image"], level)


def test_a_branch_without_maps_is_refused():
    with pytest.raises(fk.AssemblyError, match="branch 'text' has no maps, which this head reads"):
        find_level("text", fk.HeadInput(embed_dim=3), -1)
