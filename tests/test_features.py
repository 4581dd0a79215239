"""What a head may read, and how levels are resolved."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusionkit as fk


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vector", fk.Reads(vector=True)),
        ("maps", fk.Reads(maps="all")),
        ("logits", fk.Reads(logits=True)),
    ],
)
def test_short_forms(text: str, expected: fk.Reads) -> None:
    assert fk.Reads.parse(text) == expected


@pytest.mark.parametrize("text", ["vectors", "", "Maps", None, 3])
def test_other_short_forms_are_refused(text: str) -> None:
    with pytest.raises(fk.ConfigError, match=r"cannot read .*: write 'vector', 'maps', 'logits'"):
        fk.Reads.parse(text)


@settings(deadline=None)
@given(st.integers(1, 6), st.data())
def test_resolved_levels_are_ascending_indices_and_stay(count: int, data: st.DataObject) -> None:
    levels = data.draw(st.lists(st.integers(-count, count - 1)))
    resolved = fk.Reads(maps=tuple(levels), logits=True).resolve(count)
    assert list(resolved.maps) == sorted({level % count for level in levels})
    assert resolved.resolve(count) == resolved
    assert resolved.logits
    assert not resolved.vector


def test_all_levels() -> None:
    assert fk.Reads(maps="all").resolve(3).maps == (0, 1, 2)


@pytest.mark.parametrize(("level", "count"), [(3, 3), (-4, 3), (1, 1)])
def test_a_level_that_does_not_exist(level: int, count: int) -> None:
    with pytest.raises(fk.AssemblyError, match=f"level {level} does not exist: .* {count} level"):
        fk.Reads(maps=(level,)).resolve(count)


@pytest.mark.parametrize("maps", ["all", (0,), (-1,)])
def test_maps_of_a_backbone_without_maps(maps: object) -> None:
    with pytest.raises(fk.AssemblyError, match="the backbone has no maps; take a head that reads"):
        fk.Reads(maps=maps).resolve(0)  # type: ignore[arg-type]


def test_vectors_of_a_backbone_without_maps() -> None:
    assert fk.Reads(vector=True).resolve(0) == fk.Reads(vector=True)


def test_a_list_of_levels_is_taken_as_a_tuple() -> None:
    reads = fk.Reads(maps=[0, -1])  # type: ignore[arg-type]
    assert reads == fk.Reads(maps=(0, -1))
    assert hash(reads) == hash(fk.Reads(maps=(0, -1)))


@pytest.mark.parametrize("maps", [2, "every", (True,), (1.0,), None, ("0",)])
def test_levels_that_are_no_indices(maps: object) -> None:
    with pytest.raises(fk.ConfigError, match=r"Reads\.maps takes indices of levels"):
        fk.Reads(maps=maps)  # type: ignore[arg-type]
