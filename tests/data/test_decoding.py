"""One loader for all images: modes, orientation, damage, size."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from data_pictures import noise, put
from PIL import Image, ImageFile
from safetensors.torch import save_file

import fusionkit as fk
from fusionkit.data import Encoded, decode
from fusionkit.data.decoding import measure_picture
from fusionkit.data.picture import picture_size


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(source: object, channels: int = 3) -> np.ndarray:
    picture = decode(source, channels)
    assert isinstance(picture, Image.Image)
    assert picture.mode == {1: "L", 3: "RGB"}[channels]
    return np.asarray(picture)


def png_header(width: int, height: int) -> bytes:
    """Gives the beginning of a PNG of any size, which is all that there is of it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", 1000)
        + b"IDAT"
    )


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV", "LAB"]
)
def test_f082_every_mode_becomes_rgb_or_grey(mode: str):
    rgb = noise()
    by_way = {"La": "LA", "RGBa": "RGBA"}.get(mode)
    image = rgb.convert(by_way).convert(mode) if by_way else rgb
    if mode == "LAB":
        image = Image.merge("LAB", rgb.split())
    elif not by_way:
        image = rgb.convert(mode)
    assert pixels(image).shape == (12, 15, 3)
    assert pixels(image, 1).shape == (12, 15)
    if mode in ("L", "P", "RGB", "RGBA", "CMYK", "YCbCr"):
        assert np.array_equal(pixels(image), np.asarray(image.convert("RGB")))
    if mode not in ("La", "RGBa", "LAB", "HSV"):
        # Older PIL cannot read the TIFF of YCbCr that it wrote.
        kind = {"CMYK": "TIFF", "YCbCr": "JPEG"}.get(mode, "PNG")
        file = Encoded(encoded(image, kind), "x")
        assert pixels(file).shape == (12, 15, 3)


def test_f082_a_palette_with_transparency_is_read_without_a_warning():
    image = noise().convert("P")
    data = encoded(image, "PNG", transparency=bytes(range(256)))
    assert np.array_equal(pixels(Encoded(data, "x")), np.asarray(image.convert("RGB")))


def test_f082_sixteen_bits_are_scaled_and_not_cut_off(tmp_path: Path):
    values = np.array([[0, 257, 65535], [128, 129, 32768]], dtype=np.uint16)
    path = tmp_path / "deep.png"
    Image.fromarray(values).save(path)
    expected = np.array([[0, 1, 255], [0, 1, 128]], dtype=np.uint8)
    assert np.array_equal(pixels(path, 1), expected)
    assert np.array_equal(pixels(path), np.stack([expected] * 3, axis=-1))
    whole = Image.fromarray(values.astype(np.int32))
    assert np.array_equal(pixels(whole, 1), expected)
    with pytest.raises(fk.DataError, match=r"whole numbers in \[0, 70000\], which are not 16 bits"):
        decode(Image.fromarray(np.array([[0, 70000]], dtype=np.int32)))


def test_f082_floats_have_to_lie_between_0_and_1(tmp_path: Path):
    values = np.array([[0, 0.5, 1]], dtype=np.float32)
    path = tmp_path / "floats.tiff"
    Image.fromarray(values).save(path)
    assert pixels(path, 1).tolist() == [[0, 128, 255]]
    Image.fromarray(values * 255).save(path)
    with pytest.raises(fk.DataError, match=r"floats.tiff holds floats in \[0, 255\]; scale them"):
        decode(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_f083_a_camera_held_upright_gives_an_upright_picture(orientation: int):
    image = noise(10, 20)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, "PNG", exif=exif)
    turned = pixels(Encoded(data, "x"))
    assert turned.shape == ((20, 10, 3) if orientation >= 5 else (10, 20, 3))
    plain = np.asarray(image)
    if orientation == 6:
        assert np.array_equal(turned, np.rot90(plain, -1))
    assert np.array_equal(turned, plain) == (orientation == 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("tolerant", [False, True])
def test_f080_a_truncated_image_is_an_error_whatever_is_set_for_the_process(
    kind: str, tolerant: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)
    data = encoded(noise(40, 50), kind)
    whole = pixels(Encoded(data, "whole"))
    for percent in range(1, 100, 7):
        cut = data[: len(data) * percent // 100]
        try:
            picture = pixels(Encoded(cut, "cut"))
        except fk.DataError:
            continue
        # What was cut off held no pixels, as the tables at a TIFF's end.
        assert np.array_equal(picture, whole)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is tolerant


def test_f080_the_setting_makes_a_difference_without_us(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = encoded(noise(40, 50), "JPEG")
    Image.open(io.BytesIO(data[: len(data) // 2])).load()
    with pytest.raises(fk.DataError, match="half is damaged or truncated: OSError"):
        decode(Encoded(data[: len(data) // 2], "half"))


@pytest.mark.parametrize(("width", "height"), [(10_000, 5_001), (10_000, 10_000), (14_000, 10_000)])
def test_f081_too_many_pixels_are_refused_before_they_are_decoded(width: int, height: int):
    data = Encoded(png_header(width, height), "bomb.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        message = f"bomb.png has {width} x {height} pixels, more than the 50,000,000 allowed"
        with pytest.raises(fk.DataError, match=message):
            decode(data)
    with pytest.raises(fk.DataError, match="damaged or truncated"):  # the cap alone was in the way
        decode(data, max_pixels=200_000_000)


def test_f081_far_too_many_pixels_and_images_in_memory():
    with pytest.raises(fk.DataError, match=r"bomb.png has far too many pixels"):
        decode(Encoded(png_header(20_000, 20_000), "bomb.png"))
    with pytest.raises(fk.DataError, match="has 15 x 12 pixels, more than the 100 allowed"):
        decode(noise(), max_pixels=100)
    with pytest.raises(fk.DataError, match="has 15 x 12 pixels, more than the 100 allowed"):
        decode(torch.zeros(3, 12, 15, dtype=torch.uint8), max_pixels=100)


def test_f085_empty_and_foreign_files_are_named(tmp_path: Path):
    path = tmp_path / "empty.jpg"
    path.touch()
    with pytest.raises(fk.DataError, match=r"empty.jpg is empty: it has 0 bytes"):
        decode(path)
    path.write_text("<html>not found</html>")
    with pytest.raises(fk.DataError, match=r"empty.jpg is no image of a known kind"):
        decode(path)
    with pytest.raises(fk.DataError, match=r"cannot read .*none.jpg: No such file"):
        decode(tmp_path / "none.jpg")
    (tmp_path / "empty.npy").touch()
    with pytest.raises(fk.DataError, match=r"empty.npy is empty"):
        decode(tmp_path / "empty.npy")


def test_f088_damaged_bytes_end_in_an_error_of_ours_or_in_a_picture():
    data = bytearray(encoded(noise(), "JPEG"))
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            damaged[place] = rng.integers(0, 256)
        try:
            decode(Encoded(bytes(damaged), "x"))
        except fk.DataError:
            refused += 1
    assert refused > 0


def test_a_warning_that_is_an_error_is_not_called_damage(monkeypatch: pytest.MonkeyPatch):
    def warn(self: Image.Image) -> None:
        raise UserWarning("loud")

    monkeypatch.setattr(ImageFile.ImageFile, "load", warn)
    with pytest.raises(UserWarning, match="loud"):
        decode(Encoded(encoded(noise(), "PNG"), "x"))


def test_arrays_come_as_they_are(tmp_path: Path):
    image = torch.randint(0, 256, (5, 4, 6), dtype=torch.uint8)
    path = tmp_path / "bands.npy"
    np.save(path, image.numpy())
    assert torch.equal(decode(path, 5), image)
    save_file({"bands": image}, tmp_path / "bands.safetensors")
    assert torch.equal(decode(tmp_path / "bands.safetensors", 5), image)
    assert torch.equal(decode(image.numpy(), 5), image)
    assert decode(image[0], 1).shape == (1, 4, 6)
    assert decode(torch.rand(2, 4, 6, dtype=torch.float64), 2).dtype == torch.float32
    deep = np.full((1, 2, 2), 65535, dtype=np.uint16)
    assert torch.equal(decode(deep, 1), torch.ones(1, 2, 2))


@pytest.mark.parametrize(
    ("value", "channels", "message"),
    [
        (torch.rand(3, 4, 4) * 255, 3, r"floats in \[.*\], where a raw image is uint8 or floats"),
        (torch.full((3, 4, 4), float("nan")), 3, "holds floats in"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), 3, "is of torch.int64, where an image is uint8"),
        (torch.zeros(4, 4, 3), 3, r"channels last; write array.transpose\(2, 0, 1\)"),
        (torch.zeros(2, 4, 4), 3, r"has 2 channels in \(2, 4, 4\); the branch reads 3"),
        (torch.zeros(4), 3, r"has the shape \(4,\), where an image is 'c h w'"),
        (torch.zeros(3, 0, 4), 3, r"has the shape \(3, 0, 4\)"),
        ("text", 3, "the input is no image, array or tensor"),
        (np.array(["a"]), 3, "the input is no image, array or tensor"),
        (noise(), 4, "is an image, and the branch reads 4 channels; an image gives 1 or 3"),
    ],
)
def test_f021_what_is_no_raw_picture(value: object, channels: int, message: str):
    with pytest.raises(fk.DataError, match=message):
        decode(value, channels)


def test_no_pickle_is_read(tmp_path: Path):
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(fk.DataError, match=r"cannot read .*objects.npy: ValueError"):
        decode(tmp_path / "objects.npy")
    save_file({"a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "two.safetensors")
    with pytest.raises(fk.DataError, match=r"two\.safetensors holds 2 tensors; a sample's"):
        decode(tmp_path / "two.safetensors")
    torch.save(torch.ones(1), tmp_path / "pickle.safetensors")
    with pytest.raises(fk.DataError, match=r"cannot read .*pickle\.safetensors"):
        decode(tmp_path / "pickle.safetensors")


def test_the_suffix_may_be_of_any_case_and_the_kind_is_told_by_the_bytes(tmp_path: Path):
    path = put(tmp_path / "a.png").rename(tmp_path / "a.JPG")
    assert np.array_equal(pixels(path), np.asarray(noise()))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_of_a_picture_is_told_without_decoding_it(tmp_path: Path, orientation: int):
    note = Image.Exif()
    note[0x0112] = orientation
    data = encoded(noise(300, 401), "JPEG", exif=note)
    assert measure_picture(Encoded(data, "x")) == picture_size(decode(Encoded(data, "x")))
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    size = (300, 401) if orientation < 5 else (401, 300)
    assert measure_picture(tmp_path / "half.jpg") == size
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 5), dtype=np.uint8))
    assert measure_picture(tmp_path / "a.npy") == (4, 5)
    assert measure_picture(noise(6, 7)) == (6, 7)


def test_the_size_of_what_is_no_picture_is_refused(tmp_path: Path):
    (tmp_path / "x.jpg").write_bytes(b"no picture")
    with pytest.raises(fk.DataError, match=r"x.jpg is no image of a known kind"):
        measure_picture(tmp_path / "x.jpg")
    with pytest.raises(fk.DataError, match=r"there.jpg is damaged or truncated: FileNotFound"):
        measure_picture(tmp_path / "there.jpg")
