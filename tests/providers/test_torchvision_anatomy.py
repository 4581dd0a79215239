"""Stages and levels that a person expects, for the families that differ."""

from __future__ import annotations

import pytest

from fusionkit import Level, Stage
from fusionkit.providers.torchvision.build import build_backbone

NAMES = {
    "convnext_tiny": ["stem", "features.1", "features.3", "features.5", "features.7"],
    "densenet121": ["stem", *(f"features.denseblock{number}" for number in (1, 2, 3, 4))],
    "efficientnet_v2_s": ["stem", *(f"features.{number}" for number in (1, 2, 3, 4, 6))],
    "inception_v3": ["stem", "Conv2d_3b_1x1", "Mixed_5b", "Mixed_6a", "Mixed_7a"],
    "maxvit_t": ["stem", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "pre_logits"],
    "mobilenet_v3_small": ["stem", *(f"features.{n}" for n in (1, 2, 4, 9)), "pre_logits"],
    "regnet_y_400mf": ["stem", *(f"trunk_output.block{number}" for number in (1, 2, 3, 4))],
    "resnet18": ["stem", "layer1", "layer2", "layer3", "layer4"],
    "swin_t": ["stem", "features.1", "features.3", "features.5", "features.7"],
    "vgg11": ["stem", *(f"features.{number}" for number in (3, 6, 11, 16)), "pre_logits"],
    "vit_b_32": ["stem", *(f"encoder.layers.{number}" for number in range(12))],
    "swin3d_t": ["stem", "features.0", "features.2", "features.4", "features.6"],
}


@pytest.mark.parametrize("name", NAMES)
def test_stages_have_the_names_that_a_reader_of_the_model_knows(name: str) -> None:
    assert [stage.name for stage in build_backbone(name).stages] == NAMES[name]


def test_blocks_are_residual_blocks_and_layers() -> None:
    assert build_backbone("resnet18", num_classes=1000).stages[-2:] == (
        Stage("layer4", "layer4.0", "layer4.1"),
        Stage("classifier", "fc"),
    )
    stages = build_backbone("densenet121").stages
    assert stages[0] == Stage("stem", ("features.conv0", "features.norm0"))
    assert stages[2].blocks[:2] == (
        ("features.transition1",),
        ("features.denseblock2.denselayer1",),
    )
    assert stages[-1].blocks[-1] == ("features.denseblock4.denselayer16", "features.norm5")
    assert build_backbone("vgg11_bn").stages[2] == Stage(
        "features.8", ("features.8", "features.9"), ("features.11", "features.12")
    )
    assert build_backbone("maxvit_t").stages[3].blocks[0] == ("blocks.2.layers.0",)


def test_levels_are_one_per_resolution() -> None:
    assert build_backbone("resnet50").levels == (
        Level(64, 2),
        Level(256, 4),
        Level(512, 8),
        Level(1024, 16),
        Level(2048, 32),
    )
    assert [level.stride for level in build_backbone("vgg11").levels] == [1, 2, 4, 8, 16, 32]
    assert build_backbone("vit_b_32").levels == (Level(768, 32),) * 12


def test_parameters_without_weight_decay() -> None:
    assert build_backbone("vit_b_32").no_weight_decay == {"class_token", "encoder.pos_embedding"}
    assert build_backbone("resnet18").no_weight_decay == frozenset()
    swin = build_backbone("swin_t").no_weight_decay
    assert len(swin) == 12
    assert all(name.endswith("relative_position_bias_table") for name in swin)


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_the_least_size_is_the_models_own(name: str) -> None:
    least = {"squeezenet1_0": 21, "squeezenet1_1": 17}[name]
    assert build_backbone(name).least_size == least
