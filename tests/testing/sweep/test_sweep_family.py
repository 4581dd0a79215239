from __future__ import annotations

import pytest

from fusionkit.testing.sweep.family import family_of


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("timm/resnet18", "resnet"),
        ("timm/eva02_tiny_patch14_224", "eva"),
        ("torchvision/wide_resnet50_2", "resnet"),
        ("torchvision/r3d_18", "video.resnet"),
        ("hf/facebook/DINOv2-base", "dinov"),
        ("mine/2net", "2net"),
    ],
)
def test_a_family_is_the_module_that_defines_it(model: str, family: str) -> None:
    assert family_of(model) == family
