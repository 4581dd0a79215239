"""Keeping and dropping the classifier, families that are not known, first layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusionkit import PluginError
from fusionkit.providers.torchvision import build
from fusionkit.providers.torchvision.families import FAMILIES
from fusionkit.providers.torchvision.plugin import TorchvisionModels


@pytest.mark.parametrize(
    ("name", "num_classes", "kept"),
    [
        ("squeezenet1_1", 1000, 1000),
        ("squeezenet1_1", 10, None),
        ("squeezenet1_1", None, None),
        ("s3d", 400, 400),
        ("s3d", 1000, None),
    ],
)
def test_keeps_the_classifier_exactly_if_it_has_as_many_classes(
    name: str, num_classes: int | None, kept: int | None
) -> None:
    backbone = build.build_backbone(name, num_classes=num_classes)

    assert backbone.num_classes == kept
    last = backbone.trunk.get_submodule("classifier.1")
    assert isinstance(last, nn.Identity) == (kept is None)
    assert backbone.dropped_keys == (() if kept else ("classifier.1.*",))


def test_every_model_is_of_a_known_family_and_every_family_has_a_model() -> None:
    from torchvision.models import get_model_builder

    modules = {get_model_builder(name).__module__ for name in TorchvisionModels()}

    assert {module.removeprefix("torchvision.models.") for module in modules} == set(FAMILIES)


def test_a_family_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "FAMILIES", {})

    with pytest.raises(PluginError, match="torchvision/resnet18 is newer than this fusionkit"):
        build.build_backbone("resnet18")


def test_random_first_layers_have_the_same_spread_and_unlike_channels() -> None:
    torch.manual_seed(0)
    old = build.build_backbone("resnet18").trunk.conv1
    new = build.build_backbone("resnet18", in_channels=20).trunk.conv1

    assert new.weight.shape == (64, 20, 7, 7)
    assert (new.stride, new.padding, new.bias) == (old.stride, old.padding, None)
    torch.testing.assert_close(new.weight.std(), old.weight.std(), rtol=0.05, atol=0)
    assert not torch.equal(new.weight[:, 0], new.weight[:, 1])


def test_building_leaves_the_trunk_in_train_mode_and_the_random_state_alone() -> None:
    torch.manual_seed(0)
    backbone = build.build_backbone("mnasnet0_5")
    after = torch.rand(1)
    torch.manual_seed(0)
    from torchvision.models import mnasnet0_5

    stock = mnasnet0_5(weights=None)

    assert torch.equal(after, torch.rand(1))
    assert all(module.training for module in backbone.modules())
    for key, value in backbone.trunk.state_dict().items():
        assert torch.equal(value, stock.state_dict()[key]), key
