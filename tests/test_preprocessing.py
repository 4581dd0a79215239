"""How inputs are prepared: values, other channel counts, and the transform."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import fusionkit as fk


def test_means_below_zero_and_up_to_two_are_taken() -> None:
    assert fk.Preprocessing(mean=(-4.3, 2, 0)).mean == (-4.3, 2, 0)


def test_lists_are_taken_as_tuples() -> None:
    given = fk.Preprocessing(size=[8, 8], mean=[0.5], std=[0.5], resize=[9, 9])  # type: ignore[arg-type]
    assert given == fk.Preprocessing(size=(8, 8), mean=(0.5,), std=(0.5,), resize=(9, 9))
    assert isinstance(hash(given), int)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 224}, "size must be"),
        ({"size": (224,)}, "size must be"),
        ({"size": (0, 224)}, "size must be"),
        ({"size": (224.0, 224)}, "size must be"),
        ({"size": (True, True)}, "size must be"),
        ({"resize": 0}, "resize must be"),
        ({"resize": 2.5}, "resize must be"),
        ({"resize": (1, 2, 3)}, "resize must be"),
        ({"resize": True}, "resize must be"),
        ({"mean": ()}, "mean must be one finite number per channel"),
        ({"mean": (float("nan"), 0, 0)}, "mean must be one finite number"),
        ({"mean": (10**400, 0, 0)}, "mean must be one finite number"),
        (
            {"mean": (123, 116, 103)},
            r"mean must be in units of an image scaled to \[0, 1\]; divide by 255: got \(123, 11",
        ),
        ({"mean": (0.5, 2.01, 0.5)}, "divide by 255"),
        ({"mean": 0.5}, "mean must be one finite number"),
        ({"std": (float("inf"), 1, 1)}, "std must be one finite number"),
        ({"std": ("1", 1, 1)}, "std must be one finite number"),
        ({"std": (0, 1, 1)}, "std must be positive"),
        ({"std": (-1, 1, 1)}, "std must be positive"),
        ({"mean": (0.5,)}, "1 means but 3 standard deviations"),
        ({"interpolation": "cubic"}, "interpolation is one of"),
        ({"frames": 0}, "frames must be at least 1"),
        ({"frames": 1.5}, "frames must be at least 1"),
    ],
)
def test_bad_values(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(fk.ConfigError, match=message):
        fk.Preprocessing(**fields)


def test_the_trained_channel_count_changes_nothing() -> None:
    preprocessing = fk.Preprocessing(resize=256)
    assert preprocessing.for_channels(3) is preprocessing


@pytest.mark.parametrize("channels", [1, 2, 20])
def test_other_channel_counts_get_the_average(channels: int) -> None:
    trained = fk.Preprocessing(
        size=(10, 20),
        mean=(0.1, 0.2, 0.6),
        std=(0.2, 0.3, 0.4),
        interpolation="bicubic",
        resize=(11, 21),
        frames=8,
    )
    adapted = trained.for_channels(channels)
    assert adapted.mean == pytest.approx((0.3,) * channels)
    assert adapted.std == pytest.approx((0.3,) * channels)
    kept = ("size", "interpolation", "resize", "frames")
    assert [getattr(adapted, name) for name in kept] == [getattr(trained, name) for name in kept]


@pytest.mark.parametrize("channels", [0, -1, 1.5, True])
def test_no_channels(channels: int) -> None:
    with pytest.raises(fk.ConfigError, match="a number of channels is at least 1"):
        fk.Preprocessing().for_channels(channels)


@pytest.mark.parametrize("size", [(40, 60), (60, 40)])
def test_transform_is_torchvisions_own(size: tuple[int, int]) -> None:
    from torchvision.transforms._presets import ImageClassification

    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    own = ImageClassification(crop_size=24, resize_size=32)(image)
    ours = fk.Preprocessing(size=(24, 24), resize=32).transform()(image)
    assert ours.shape == (3, 24, 24)
    assert torch.equal(ours, own)


def test_transform_without_resize_gives_exactly_the_size() -> None:
    image = Image.new("RGB", (31, 17), (255, 0, 0))
    tensor = fk.Preprocessing(size=(8, 12)).transform()(image)
    assert tensor.shape == (3, 8, 12)
    red, green = (1 - 0.485) / 0.229, (0 - 0.456) / 0.224
    assert torch.allclose(tensor[:2, 0, 0], torch.tensor([red, green]))


def test_transform_resizes_to_an_exact_height_and_width_before_the_crop() -> None:
    image = Image.new("RGB", (31, 17))
    tensor = fk.Preprocessing(size=(8, 8), resize=(10, 12), interpolation="bicubic").transform()(
        image
    )
    assert tensor.shape == (3, 8, 8)
