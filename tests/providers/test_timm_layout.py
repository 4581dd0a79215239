"""What a stock checkpoint of a timm model holds, told without building it in memory."""

from __future__ import annotations

import pytest
import timm

from fusionkit.providers.timm.layout import read_layout
from fusionkit.providers.timm.plugin import TimmModels


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet", "vgg11"])
def test_it_is_what_timm_saves_and_what_the_backbone_loads(name):
    shapes, optional = TimmModels()[name].layout()
    stock = {key: tuple(v.shape) for key, v in timm.create_model(name).state_dict().items()}
    trunk = timm.create_model(name, num_classes=0).state_dict()
    assert shapes == {key: stock[key] for key in trunk}
    assert set(stock) - set(trunk) <= {
        f"{path[:-2]}.{leaf}"
        for path in optional
        if path.endswith(".*")
        for leaf in ("weight", "bias")
    }


def test_a_model_without_classifier_has_nothing_optional():
    assert read_layout("naflexvit_base_patch16_gap")[0]
