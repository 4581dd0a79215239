"""Pixels and numbers are those of ``Preprocessing.transform``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from data_pictures import noise
from PIL import Image

import fusionkit as fk
from fusionkit.data import Normalise
from fusionkit.data.geometry import Geometry
from fusionkit.data.picture import crop, mirror, picture_size, rotate, to_tensor

PREPARATIONS = [
    fk.Preprocessing(size=(14, 14), resize=16),
    fk.Preprocessing(size=(14, 14), resize=16, interpolation="bicubic"),
    fk.Preprocessing(size=(14, 14), resize=16, interpolation="nearest"),
    fk.Preprocessing(size=(16, 16), resize=16),
    fk.Preprocessing(size=(12, 20)),
    fk.Preprocessing(size=(9, 9), resize=(10, 13), interpolation="bicubic"),
    fk.Preprocessing(size=(20, 21), resize=17),  # padded
    fk.Preprocessing(size=(20, 8), resize=17),  # padded above and below, cropped at the sides
    fk.Preprocessing(size=(40, 40), resize=50),  # made larger
]
SIZES = [(16, 16), (16, 31), (31, 16), (33, 17), (40, 23), (7, 90), (17, 20)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "preprocessing", PREPARATIONS, ids=lambda each: f"{each.size}{each.resize}"
)
def test_f087_the_bits_are_the_transforms(preprocessing: fk.Preprocessing, size: tuple[int, int]):
    image = noise(*size)
    ours = Geometry.of(preprocessing).evaluate(image)
    assert ours.dtype == torch.uint8
    normalised = Normalise({"a": preprocessing})({"a": ours[None]})["a"]
    assert torch.equal(normalised[0], preprocessing.transform()(image))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_resize_that_need_not_be_exact_is_almost_pils(interpolation: str, mode: str):
    image = noise(256, 341, mode=mode)
    exact = Geometry((224, 224), 235, interpolation)  # type: ignore[arg-type]
    quick = replace(exact, exact=False)
    for picture in (image, to_tensor(image)):
        difference = quick.evaluate(picture).int() - exact.evaluate(picture).int()
        assert 0 < difference.abs().max() <= 3
        assert difference.ne(0).float().mean() < 0.05
    squeezed = quick.squeeze(image).int() - exact.squeeze(image).int()
    assert squeezed.shape == (1 if mode == "L" else 3, 224, 224)
    assert squeezed.abs().max() <= 3


def test_what_torch_does_not_resize_alike_stays_exact():
    image = noise(30, 40)
    nearest = Geometry((14, 14), 16, "nearest")
    assert torch.equal(replace(nearest, exact=False).evaluate(image), nearest.evaluate(image))
    floats = to_tensor(image).float() / 255
    bilinear = Geometry((14, 14), 16, "bilinear")
    assert torch.equal(replace(bilinear, exact=False).evaluate(floats), bilinear.evaluate(floats))


def test_f087_tensor_resizes_would_be_others():
    image = noise(40, 40)
    ours = Geometry.of(fk.Preprocessing(size=(16, 16))).evaluate(image).float()
    theirs = torch.nn.functional.interpolate(
        to_tensor(image)[None].float(), size=(16, 16), mode="bilinear", antialias=True
    )
    assert not torch.equal(ours, theirs[0].round())


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_tensors_are_resized_as_images_are(interpolation: str):
    image = noise(30, 40)
    geometry = Geometry((14, 14), 16, interpolation)  # type: ignore[arg-type]
    expected = geometry.evaluate(image)
    assert torch.equal(geometry.evaluate(to_tensor(image)), expected)
    doubled = torch.cat([to_tensor(image), to_tensor(image)])
    assert torch.equal(geometry.evaluate(doubled), torch.cat([expected, expected]))
    floats = geometry.evaluate(doubled.float() / 255)
    assert floats.dtype == torch.float32
    assert (floats * 255 - doubled_rounding(expected)).abs().max() < 1.6
    clip = geometry.evaluate(torch.stack([to_tensor(image)] * 2, dim=1))
    assert torch.equal(clip, torch.stack([expected] * 2, dim=1))


def doubled_rounding(image: torch.Tensor) -> torch.Tensor:
    return torch.cat([image, image]).float()


def test_squeeze_takes_the_whole_picture():
    image = noise(30, 40)
    squeezed = Geometry((10, 12), 99, "bilinear").squeeze(image)
    expected = np.asarray(image.resize((12, 10), Image.Resampling.BILINEAR))
    assert torch.equal(squeezed, torch.from_numpy(expected.copy()).permute(2, 0, 1))


def test_images_and_tensors_are_cut_and_turned_alike():
    image = noise(9, 11)
    tensor = to_tensor(image)
    assert picture_size(image) == picture_size(tensor) == (9, 11)
    assert crop(image, 0, 0, 9, 11) is image
    for do in (
        lambda each: crop(each, 2, 3, 5, 6),
        lambda each: mirror(each, True, False),
        lambda each: mirror(each, False, True),
        lambda each: mirror(each, True, True),
        lambda each: rotate(each, 30.0),
    ):
        assert torch.equal(to_tensor(do(image)), do(tensor))
    assert torch.equal(mirror(tensor, True, False), tensor.flip(-1))
    assert to_tensor(noise(mode="L")).shape == (1, 12, 15)


def test_real_photographs(shared_data):
    paths = sorted((shared_data / "images" / "hymenoptera" / "val" / "ants").iterdir())[:6]
    preprocessings = {
        "a": fk.Preprocessing(resize=256),
        "b": fk.Preprocessing(size=(160, 160), resize=182, interpolation="bicubic"),
    }
    for path in paths:
        with Image.open(path) as file:
            image = file.convert("RGB")
        for name, each in preprocessings.items():
            ours = Geometry.of(each).evaluate(image)[None]
            normalised = Normalise(preprocessings)({name: ours})[name]
            assert torch.equal(normalised[0], each.transform()(image))
