from __future__ import annotations

import pickle
from copy import deepcopy

import pytest
import torch

import fusionkit as fk
from fusionkit.testing.sweep.sizes import make_small

CATALOG = fk.Catalog.installed()


@pytest.mark.parametrize(
    ("model", "options", "size"),
    [
        ("timm/vit_tiny_patch16_224", {"img_size": 64}, (64, 64)),
        ("timm/vit_small_patch14_dinov2", {"img_size": 56}, (56, 56)),
        ("timm/swin_tiny_patch4_window7_224", {"img_size": 64}, (64, 64)),
        ("timm/resnet18", {}, None),
        ("timm/halonet26t", {}, (256, 256)),
        ("torchvision/vit_b_16", {"image_size": 64}, (64, 64)),
        ("torchvision/vit_h_14", {"image_size": 56}, (56, 56)),
        ("torchvision/maxvit_t", {}, (224, 224)),
        ("torchvision/regnet_x_400mf", {}, None),
    ],
)
def test_a_model_of_one_size_is_built_for_a_small_one(
    model: str, options: dict[str, int], size: tuple[int, int] | None
) -> None:
    small = make_small(model, CATALOG.backbone(model).factory)
    assert small.options == options
    assert small.built.fixed_size == size
    assert all(value.is_meta for value in small.built.parameters()) or "regnet" in model


def test_what_cannot_be_built_without_data_is_emptied() -> None:
    small = make_small(
        "torchvision/regnet_y_400mf", CATALOG.backbone("torchvision/regnet_y_400mf").factory
    )
    with torch.device("meta"):
        built = small.make(in_channels=3, weights=None, num_classes=None)
    assert all(value.is_meta for value in (*built.parameters(), *built.buffers()))
    assert not any(value.is_meta for value in small.make(in_channels=3).parameters())


def test_clips_are_as_short_as_the_model_allows() -> None:
    model = "torchvision/r3d_18"
    make = make_small(model, CATALOG.backbone(model).factory).make
    built = make(in_channels=2, weights=None, num_classes=None)
    assert built.example(3).shape == (3, 2, 4, 112, 112)
    assert torch.equal(built.example(), built.example())
    for twin in (deepcopy(built), pickle.loads(pickle.dumps(built))):
        assert torch.equal(twin.example(), built.example())
    with pytest.raises(TypeError, match="no option 'colour'"):
        make(in_channels=2, weights=None, num_classes=None, colour=1)
