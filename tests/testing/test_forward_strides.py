"""What the sizes of maps say of a stride: unpadded borders are forgiven, another stride is not."""

from __future__ import annotations

import pytest

from fusionkit.testing.backbones.forward.strides import misfits, misfits_of_one


@pytest.mark.parametrize(
    ("stride", "size", "found", "other_size", "other_found"),
    [
        (32, (64, 64), (2, 2), (64, 96), (2, 3)),
        (32, (65, 65), (3, 3), (96, 96), (3, 3)),  # rounded up
        (32, (299, 299), (8, 8), (331, 331), (9, 9)),  # no padding: a border is lost
        (4, (299, 299), (71, 71), (299, 331), (71, 79)),
        (14, (56, 56), (4, 4), (70, 70), (5, 5)),
        (4, (64, 64), (17, 17), (96, 96), (25, 25)),  # much padding: a row is won
    ],
)
def test_what_fits(stride, size, found, other_size, other_found) -> None:
    assert list(misfits(stride, size, found, other_size, other_found)) == []
    assert list(misfits_of_one(stride, size, found)) == []


@pytest.mark.parametrize(
    ("stride", "size", "found", "other", "says"),
    [
        (
            16,
            (64, 64),
            (2, 2),
            ((96, 96), (3, 3)),
            "at height 64 and 96 pixels its maps have height",
        ),
        (32, (64, 64), (4, 4), ((96, 96), (6, 6)), "not about 2"),
        (4, (64, 64), (16, 16), ((64, 96), (16, 16)), "at width 64 and 96"),
        (4, (64, 64), (16, 16), ((64, 96), (24, 16)), "at height 64 and 64"),
    ],
)
def test_what_does_not_fit(stride, size, found, other, says) -> None:
    (told,) = misfits(stride, size, found, *other)
    assert says in told
    assert told.startswith(f"declares stride {stride}, but ")


def test_one_size_that_a_map_divides_evenly_tells_the_stride() -> None:
    (told,) = misfits_of_one(14, (224, 224), (14, 14))
    expected = "declares stride 14, but at height 224 pixels its maps have height 14, not about 16"
    assert told == expected
    assert list(misfits_of_one(16, (224, 224), (14, 14))) == []
