"""Inputs are prepared as timm prepares them for the same weights."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

from fusionkit.providers.timm.plugin import TimmModels
from fusionkit.providers.timm.prepare import read_preprocessing

NAMES = [
    "resnet50.a1_in1k",  # bicubic, 0.95
    "mobilenetv2_100.ra_in1k",  # bicubic, 0.875
    "vgg11.tv_in1k",  # bilinear
    "vit_tiny_patch16_224.augreg_in21k_ft_in1k",  # 0.5 mean and std, 0.9
    "vit_base_patch16_clip_224.openai",
    "convnext_tiny.fb_in22k_ft_in1k_384",  # squash
    "inception_v3.tv_in1k",  # 299
    "eva02_tiny_patch14_336.mim_in22k_ft_in1k",
    "vit_base_patch16_sapiens2.fb",  # higher than wide
    "csatv2.r512_in1k",
]
SHAPES = [(640, 480), (213, 377), (100, 90)]


def description(name):
    return timm.models.get_pretrained_cfg(name).to_dict()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_transform_gives_timms_own_tensor(name, shape):
    config = resolve_data_config(pretrained_cfg=description(name))
    expected = create_transform(**config, is_training=False)
    ours = read_preprocessing(description(name), config["input_size"][1:], 3).transform()
    pixels = np.random.default_rng(0).integers(0, 256, (shape[1], shape[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    assert torch.equal(ours(image), expected(image))


def test_every_registered_tag_can_be_read():
    unknown = []
    for name in timm.list_models(include_tags=True):
        config = description(name)
        found = read_preprocessing(config, tuple(config["input_size"][1:]), 3)
        if found is None:
            unknown.append(name)
        else:
            assert found.size == tuple(config["input_size"][1:])
            assert found.mean == tuple(config["mean"])
            assert found.std == tuple(config["std"])
    # Those pad the image to a square, which a resize and a crop cannot do.
    assert {config.partition("_")[0] for config in unknown} <= {"deepseek"}


def test_the_size_follows_the_option():
    backbone = TimmModels()["vit_tiny_patch16_224"](img_size=64)
    assert backbone.preprocessing.size == (64, 64)
    assert backbone.preprocessing.resize == 71
    assert backbone.fixed_size == (64, 64)
    assert backbone.example().shape == (2, 3, 64, 64)


def test_random_interpolation_is_evaluated_bilinear():
    found = read_preprocessing({"interpolation": "random"}, (64, 64), 1)
    assert found.interpolation == "bilinear"
    assert len(found.mean) == 1


def test_what_cannot_be_said_is_not_made_up():
    assert read_preprocessing({"interpolation": "lanczos"}, (64, 64), 3) is None
    assert read_preprocessing({"crop_mode": "border"}, (64, 64), 3) is None
