"""The last step of a preparation, on batches."""

from __future__ import annotations

import pytest
import torch
from data_pictures import OTHER, SMALL

import fusionkit as fk
from fusionkit.data import Normalise, Preparation

IMAGES = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)


def by_hand(images: torch.Tensor, about: fk.Preprocessing) -> torch.Tensor:
    mean = torch.tensor(about.mean)[:, None, None]
    return (images.to(torch.float32) / 255 - mean) / torch.tensor(about.std)[:, None, None]


def test_branches_that_share_everything_share_one_tensor():
    normalise = Normalise({"a": SMALL, "b": SMALL, "c": OTHER})
    given = normalise({"a": IMAGES, "b": IMAGES, "c": IMAGES})
    assert list(given) == ["a", "b", "c"]
    assert given["a"] is given["b"]
    assert torch.equal(given["a"], by_hand(IMAGES, SMALL))
    assert torch.equal(given["c"], by_hand(IMAGES, OTHER))
    assert given["c"].is_contiguous()


def test_a_batch_is_not_changed_by_the_next_one():
    normalise = Normalise({"a": SMALL})
    first = normalise({"a": IMAGES})["a"]
    copy = first.clone()
    for _ in range(3):
        normalise({"a": IMAGES.flip(0)})
    assert torch.equal(first, copy)


def test_raw_floats_and_clips_and_other_channel_counts():
    normalise = Normalise({"a": Preparation("x", SMALL, channels=2)})
    floats = torch.rand(2, 2, 8, 8)
    about = SMALL.for_channels(2)
    expected = (floats - about.mean[0]) / about.std[0]
    assert torch.allclose(normalise({"a": floats})["a"], expected)
    clips = torch.randint(0, 256, (2, 3, 4, 8, 8), dtype=torch.uint8)
    frames = Normalise({"a": SMALL})({"a": clips})["a"]
    assert torch.equal(frames[:, :, 2], by_hand(clips[:, :, 2], SMALL))


def test_what_is_no_image_is_handed_on():
    words = {"input_ids": torch.ones(2, 4, dtype=torch.int64)}
    normalise = Normalise(
        {"text": Preparation("text"), "own": Preparation("image", SMALL, inside=True)}
    )
    given = normalise({"text": words, "own": IMAGES})
    assert given["text"] is words
    assert given["own"] is IMAGES


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES.float(), r"branch 'a' takes raw images as uint8 or floats in \[0, 1\], got .*25"),
        (torch.full((1, 3, 4, 4), float("nan")), "takes raw images as uint8"),
        (IMAGES.long(), "got torch.int64"),
        (IMAGES[:, :1], r"branch 'a' takes 3 channels, got 1 in shape \(3, 1, 8, 8\)"),
        (IMAGES[0], r"takes raw images 'b c h w', got \(3, 8, 8\)"),
        ("x", "takes raw images 'b c h w', got str"),
    ],
)
def test_f021_what_is_not_raw_is_refused(images: object, message: str):
    with pytest.raises(fk.DataError, match=message):
        Normalise({"a": SMALL})({"a": images})


def test_f021_channels_in_another_order_give_other_numbers():
    normalise = Normalise({"a": SMALL})
    right, swapped = normalise({"a": IMAGES})["a"], normalise({"a": IMAGES.flip(1)})["a"]
    assert not torch.allclose(right, swapped.flip(1))


def test_an_empty_batch_passes():
    assert Normalise({"a": SMALL})({"a": IMAGES[:0]})["a"].shape == (0, 3, 8, 8)


def test_channels_come_last_where_asked_and_are_laid_out_once():
    normalise = Normalise({"a": SMALL, "b": SMALL, "c": OTHER}, channels_last=True)
    shared = IMAGES.clone()
    done = normalise({"a": shared, "b": shared, "c": shared, "words": torch.ones(2, 5)})
    plain = Normalise({"a": SMALL, "c": OTHER})({"a": shared, "c": shared})
    assert done["a"] is done["b"]
    for name, expected in plain.items():
        assert done[name].is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(done[name], expected)
    assert done["words"].shape == (2, 5)
