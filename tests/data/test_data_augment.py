"""How samples are varied: the values, what is drawn, and what it does to pictures."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from data_pictures import OTHER, SMALL, noise
from PIL import Image

import fusionkit as fk
from fusionkit.data import Augment, Preparation, Sample
from fusionkit.data.picture import picture_size, to_tensor
from fusionkit.data.prepare import Prepare
from fusionkit.data.variation import draw_variation

EVERYTHING = Augment(
    vertical_flip=0.5,
    rotate=20,
    brightness=0.3,
    contrast=0.3,
    saturation=0.3,
    hue=0.1,
    grayscale=0.2,
    erase=0.5,
)


def draw(augment: Augment, key: str = "a", epoch: int = 0, seed: int = 0) -> Any:
    return draw_variation(augment, 30, 40, seed=seed, epoch=epoch, key=key)


def test_a_file_holds_it():
    data = json.loads(json.dumps(EVERYTHING.to_data()))
    assert Augment.from_data(data) == EVERYTHING
    assert Augment.from_data({"crop": None}) == Augment(crop=None)
    assert Augment.from_data(True) == Augment.from_data({}) == Augment()
    assert Augment.from_data(None) == Augment.from_data(False) == Augment.none()


def test_what_is_random():
    assert Augment().is_random
    assert not Augment.none().is_random
    for name in ("flip", "rotate", "hue", "erase", "contrast"):
        assert Augment(**{"crop": None, "flip": 0, name: 0.1}).is_random


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"flipp": 0.5}, r"data.augment has no option 'flipp'. Did you mean 'flip'\? Its options"),
        ({"flip": 1.5}, r"augment.flip is how often it happens, in \[0, 1\], got 1.5"),
        ({"hue": 0.6}, r"augment.hue is a shift in \[0, 0.5\]"),
        ({"rotate": -1}, "augment.rotate is a number of degrees"),
        ({"brightness": True}, "augment.brightness is a strength"),
        ({"crop": 0.5}, r"augment.crop is a pair \[least, greatest\] in \(0, 1\], got 0.5"),
        ({"crop": [0.9, 0.5]}, "augment.crop is a pair"),
        ({"ratio": [0, 1]}, "augment.ratio is a pair"),
        ({"registered": "yes"}, "augment.registered is true or false"),
        ("strong", r"data.augment must be true, false or a mapping such as \{flip: 0.5\}"),
    ],
)
def test_bad_options(data: object, message: str):
    with pytest.raises(fk.ConfigError, match=message):
        Augment.from_data(data, "data.augment")


def test_what_is_drawn_depends_on_seed_epoch_and_id_alone():
    first = draw(EVERYTHING)
    assert draw(EVERYTHING) == first
    others = [draw(EVERYTHING, key="b"), draw(EVERYTHING, epoch=1), draw(EVERYTHING, seed=1)]
    assert all(other != first for other in others)


def test_what_is_drawn_is_what_was_asked_for():
    drawn = [draw(EVERYTHING, key=str(n)) for n in range(300)]
    areas = [each.box[2] * each.box[3] for each in drawn]
    assert min(areas) >= 0.35 - 1e-9
    assert max(areas) <= 1
    ratios = [each.box[3] * 40 / (each.box[2] * 30) for each in drawn]
    assert min(ratios) >= 3 / 4 - 1e-9
    assert max(ratios) <= 4 / 3 + 1e-9
    for top, left, height, width in (each.box for each in drawn):
        assert min(top, left) >= 0
        assert max(top + height, left + width) <= 1 + 1e-9
    assert 100 < sum(each.horizontally for each in drawn) < 200
    assert 100 < sum(each.vertically for each in drawn) < 200
    assert max(abs(each.degrees) for each in drawn) <= 20
    assert {len(each.colours) for each in drawn} == {4, 5}
    assert all(each.erased is None for each in (draw(Augment(), key=str(n)) for n in range(50)))


def test_a_picture_too_long_for_any_part_is_cut_in_the_middle():
    augment = Augment(crop=(1.0, 1.0), ratio=(1.0, 1.0))
    top, left, height, width = draw_variation(augment, 10, 40, seed=0, epoch=0, key="x").box
    assert (top, left, height, width) == (0, 0.375, 1, 0.25)


def test_a_picture_and_a_tensor_are_varied_alike():
    image = noise(30, 40)
    for n in range(10):
        variation = draw(EVERYTHING, key=str(n))
        shown = variation.apply(image)
        assert torch.equal(to_tensor(shown), variation.apply(to_tensor(image)))


def test_colours_of_other_than_three_channels_stay():
    plain = Augment(crop=None, flip=0, brightness=0.9, grayscale=1)
    bands = torch.randint(0, 256, (5, 30, 40), dtype=torch.uint8)
    assert torch.equal(draw(plain).apply(bands), bands)
    grey = noise(30, 40, mode="L")
    assert draw(plain).apply(grey) is grey
    coloured = np.asarray(draw(plain).apply(noise(30, 40)))
    assert np.array_equal(coloured[..., 0], coloured[..., 2])


def test_erasing_fills_a_rectangle_with_the_mean_and_keeps_the_original():
    image = torch.randint(0, 256, (3, 20, 20), dtype=torch.uint8)
    before = image.clone()
    erased = draw(Augment(erase=1.0, erase_area=(0.25, 0.25))).erase(image)
    assert torch.equal(image, before)
    share = (erased != image).any(0).float().mean()
    assert 0.2 < share < 0.3
    assert abs(erased.float().mean() - image.float().mean()) < 8


PAIR = {
    "a": Preparation("rgb", SMALL),
    "b": Preparation("nir", fk.Preprocessing(size=(8, 8)), channels=1),
    "c": Preparation("rgb", OTHER),
    "d": Preparation("rgb", fk.Preprocessing(size=(16, 16))),
}


def squares(size: int = 32) -> Any:
    """Gives a picture whose value tells the place."""
    ramp = torch.arange(size, dtype=torch.uint8) * (256 // size)
    plane = torch.stack([ramp[:, None].expand(size, size), ramp[None].expand(size, size)])
    return torch.cat([plane, plane[:1]]).contiguous()


def test_registered_inputs_show_the_same_part():
    image = squares()
    sample = Sample("s", {"rgb": image, "nir": image[1:2]})
    prepare = Prepare(PAIR, augment=Augment(vertical_flip=0.5, rotate=15))
    seen = set()
    for epoch in range(6):
        prepared = prepare(sample, epoch)
        assert prepared["a"] is prepared["c"]
        assert torch.equal(prepared["a"][1:2], prepared["b"])
        half = torch.nn.functional.avg_pool2d(prepared["d"].float(), 2)
        assert (half - prepared["a"].float()).abs().mean() < 14  # of 256
        seen.add(prepared["a"].float().sum().item())
    assert len(seen) == 6


def test_inputs_that_are_not_registered_are_varied_by_themselves():
    image = squares()
    sample = Sample("s", {"rgb": image, "nir": image[1:2, :, :20]})
    prepared = Prepare(PAIR, augment=Augment(registered=False))(sample)
    assert not torch.equal(prepared["a"][1:2], prepared["b"])
    with pytest.raises(fk.DataError, match=r"the inputs 'rgb' \(32 x 32 pixels\) and 'nir' .*"):
        Prepare(PAIR, augment=Augment())(sample)
    assert Prepare(PAIR)(sample)["b"].shape == (1, 8, 8)


def test_flips_alone_keep_the_geometry_of_evaluation():
    image = noise(30, 40)
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    still = Prepare({"a": SMALL})(Sample("s", {"image": mirrored}))["a"]
    flips = Prepare({"a": SMALL}, augment=Augment(crop=None, flip=1.0))
    assert torch.equal(flips(Sample("s", {"image": image}))["a"], still)


def test_what_varies_nothing_is_evaluation():
    sample = Sample("s", {"image": noise(30, 40)})
    still = Prepare({"a": SMALL})(sample)["a"]
    for epoch in range(3):
        assert torch.equal(Prepare({"a": SMALL}, augment=Augment.none())(sample, epoch)["a"], still)
    assert picture_size(still) == (8, 8)


def test_wrong_arguments():
    with pytest.raises(fk.ConfigError, match="augment must be an Augment, got True"):
        Prepare({"a": SMALL}, augment=True)  # type: ignore[arg-type]
    with pytest.raises(fk.ConfigError, match="max_pixels must be at least 1"):
        Prepare({"a": SMALL}, max_pixels=0)
