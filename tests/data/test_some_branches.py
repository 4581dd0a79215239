"""A dataset for some branches alone decodes only what they read, and is otherwise the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import fusionkit as fk
from fusionkit.data import Augment, Preparation, PreparedDataset, open_samples


@pytest.fixture
def dataset(tmp_path) -> PreparedDataset:
    for name, seed in (("rgb", 0), ("nir", 1)):
        path = tmp_path / name / "train" / "a" / "0.png"
        path.parent.mkdir(parents=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    samples = open_samples(tmp_path, "train", inputs=("rgb", "nir"))
    small = fk.Preprocessing(size=(8, 8))
    branches = {name: Preparation(name, small) for name in ("rgb", "nir")}
    return PreparedDataset(samples, branches, augment=Augment(), seed=3, broken="skip")


def test_a_sample_has_the_branches_that_are_asked_for_and_the_same_pixels(dataset):
    both, one = dataset[0], dataset.only(["nir"])[0]
    assert list(one.inputs) == ["nir"]
    assert torch.equal(one.inputs["nir"], both.inputs["nir"])
    assert (one.id, one.label) == (both.id, both.label)
    assert list(dataset[0].inputs) == ["rgb", "nir"]


def test_what_only_others_read_is_not_decoded(dataset):
    dataset.samples[0].inputs["rgb"].write_bytes(b"")
    assert dataset.only(["nir"])[0].broken is None
    assert dataset[0].broken is not None


def test_the_epoch_and_what_is_broken_is_known_to_both(dataset):
    narrow = dataset.only(["rgb"])
    first = narrow[0].inputs["rgb"]
    dataset.set_epoch(5)
    assert narrow.epoch == 5
    assert not torch.equal(narrow[0].inputs["rgb"], first)
    dataset.samples[0].inputs["rgb"].write_bytes(b"")
    assert narrow[0].broken is not None
    assert dataset.broken_samples == narrow.broken_samples == (dataset.samples.ids[0],)


def test_registered_inputs_show_the_same_part_whichever_are_decoded(tmp_path):
    """The shapes differ by less than 2 %, and the first is turned by its note."""
    sizes = {"rgb": (133, 100), "nir": (67, 50), "sar": (136, 101)}
    for name, (width, height) in sizes.items():
        path = tmp_path / name / "train" / "a" / "0.jpg"
        path.parent.mkdir(parents=True)
        across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
        image = Image.fromarray(np.stack([across, down, 0 * down], -1).astype(np.uint8))
        note = Image.Exif()
        if name == "rgb":
            image, note[0x0112] = image.transpose(Image.Transpose.ROTATE_90), 6
        image.save(path, exif=note, quality=95)
    samples = open_samples(tmp_path, "train", inputs=tuple(sizes))
    small = fk.Preprocessing(size=(8, 8))
    whole = PreparedDataset(
        samples, {name: Preparation(name, small) for name in sizes}, augment=Augment()
    )
    for epoch in range(30):
        whole.set_epoch(epoch)
        together = whole[0].inputs
        for names in (["nir"], ["sar"], ["nir", "sar"], ["rgb", "sar"]):
            alone = whole.only(names)[0].inputs
            assert all(torch.equal(alone[name], together[name]) for name in names)
