"""Options of torchvision's builders: taken, refused, and said so."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn
from torchvision.ops import StochasticDepth

from fusionkit import OptionError
from fusionkit.providers.torchvision.build import build_backbone


def test_options_reach_torchvision() -> None:
    backbone = build_backbone("mobilenet_v3_small", dropout=0.35, width_mult=0.5, num_classes=1000)

    dropouts = [m.p for m in backbone.trunk.modules() if isinstance(m, nn.Dropout)]
    assert dropouts == [0.35]
    assert backbone.levels[0].channels == 8


def test_stochastic_depth_reaches_torchvision() -> None:
    trunk = build_backbone("efficientnet_b0", stochastic_depth_prob=0.5).trunk

    assert max(m.p for m in trunk.modules() if isinstance(m, StochasticDepth)) > 0.4


def test_lists_of_a_recipe_are_understood() -> None:
    dilation = [False, False, True]
    backbone = build_backbone("resnet50", replace_stride_with_dilation=dilation)

    assert [level.stride for level in backbone.levels] == [2, 4, 8, 16, 16]
    names = [stage.name for stage in backbone.stages]
    assert names == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert build_backbone("maxvit_t", input_size=[448, 448]).fixed_size == (448, 448)


def test_options_with_which_the_model_cannot_run_are_named() -> None:
    with pytest.raises(OptionError, match=r"cannot run as the options \['input_size'\] make it"):
        build_backbone("maxvit_t", input_size=[224, 448])


def test_image_size_sets_the_only_size() -> None:
    backbone = build_backbone("vit_b_32", image_size=96)

    assert backbone.fixed_size == (96, 96)
    assert backbone.preprocessing is not None
    assert backbone.preprocessing.size == (96, 96)
    assert backbone.preprocessing.resize == round(256 * 96 / 224)


@pytest.mark.parametrize(
    ("name", "option", "near"),
    [
        ("resnet18", "zero_init_residuals", "zero_init_residual"),
        ("convnext_tiny", "stochastic_depth", "stochastic_depth_prob"),
        ("mobilenet_v3_small", "width_multiplier", "width_mult"),
        ("vit_b_32", "img_size", "image_size"),
        ("regnet_y_400mf", "stem_with", "stem_width"),
        ("r3d_18", "zero_init", "zero_init_residual"),
    ],
)
def test_an_unknown_option_is_named_with_near_ones(name: str, option: str, near: str) -> None:
    with pytest.raises(OptionError) as caught:
        build_backbone(name, **{option: 1})

    assert f"torchvision/{name} has no option {option!r}" in str(caught.value)
    assert repr(near) in str(caught.value)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("option", ["aux_logits", "init_weights", "pretrained", "progress"])
def test_what_the_provider_decides_is_no_option(option: str) -> None:
    with pytest.raises(OptionError, match=f"no option '{option}'"):
        build_backbone("googlenet", **{option: True})


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("swin_t", {"stochastic_depth_prob": 0.1}, "multiple values"),
        ("vit_b_32", {"image_size": 100}, "indivisible"),
        ("maxvit_t", {"input_size": [100, 100]}, "divisible"),
        ("resnet18", {"replace_stride_with_dilation": [True, True, True]}, "BasicBlock"),
        ("mvit_v2_s", {"spatial_size": [64, 64]}, "multiple values"),
    ],
)
def test_a_refused_value_is_an_option_error(
    name: str, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(OptionError, match=reason) as caught:
        build_backbone(name, **options)
    assert f"torchvision/{name} refuses its options" in str(caught.value)


def test_input_cannot_be_renormalised_on_other_channels() -> None:
    with pytest.raises(OptionError, match="transform_input with in_channels=1"):
        build_backbone("googlenet", in_channels=1, transform_input=True)
