"""The checks of copies, files, compilers and traces pass real models of many kinds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from zoo import ZOO, Specimen, identify

import fusionkit as fk
import fusionkit.testing as kit
from fusionkit.testing.backbones.keeping import CHECKS

QUICK = [check.name for check in CHECKS if not check.slow]

REAL = (
    *("timm/resnet18", "timm/mobilenetv3_small_050", "timm/convnext_atto", "timm/mobilevit_xxs"),
    *("timm/vit_tiny_patch16_224", "timm/eva02_tiny_patch14_224", "timm/xcit_nano_12_p16_224"),
    *("timm/swin_tiny_patch4_window7_224", "timm/levit_128s", "timm/efficientvit_m0"),
    *("torchvision/resnet18", "torchvision/googlenet", "torchvision/shufflenet_v2_x0_5"),
    *("torchvision/squeezenet1_1", "torchvision/mobilenet_v3_small", "torchvision/swin_t"),
)

TRACED = (
    *("timm/resnet18", "timm/regnetx_002", "timm/mixer_s32_224", "timm/vit_tiny_patch16_224"),
    *("torchvision/squeezenet1_1", "torchvision/shufflenet_v2_x0_5"),
)


def specimens(names: tuple[str, ...]) -> list[Specimen]:
    by_name = {specimen.name: specimen for specimen in ZOO}
    return [by_name[name] for name in names]


def factory(specimen: Specimen) -> Callable[..., Any]:
    made = fk.Catalog.installed().backbone(specimen.name).factory
    return partial(made, **specimen.options)


@pytest.mark.slow
@pytest.mark.parametrize("specimen", specimens(REAL), ids=identify)
def test_a_real_model_passes(specimen: Specimen) -> None:
    kit.check_backbone(factory(specimen), only=QUICK, name=specimen.name)


@pytest.mark.slow
@pytest.mark.parametrize("specimen", specimens(TRACED), ids=identify)
def test_a_real_model_is_traced(specimen: Specimen) -> None:
    traced = ["compiles_as_declared", "exports_as_declared"]
    kit.check_backbone(factory(specimen), only=traced, name=specimen.name)
