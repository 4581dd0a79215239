from __future__ import annotations

import pytest
import torch

import fusionkit as fk
import fusionkit.testing as kit
from fusionkit.testing.sweep.references import reference_for, stock_keys_for

CATALOG = fk.Catalog.installed()
CASES = [
    ("timm/test_resnet", {}, 3, None),
    ("timm/test_resnet", {}, 4, 1000),
    ("timm/test_vit", {"img_size": 64}, 3, 1000),
    ("timm/mobilenetv3_small_050", {}, 3, None),
    ("timm/levit_128s", {"img_size": 64}, 3, 1000),
    ("torchvision/squeezenet1_1", {}, 3, 1000),
    ("torchvision/mobilenet_v3_small", {}, 5, None),
    ("torchvision/googlenet", {}, 3, 1000),
    ("torchvision/googlenet", {}, 1, None),
]


@pytest.mark.parametrize(("model", "options", "channels", "classes"), CASES)
def test_the_providers_own_model_gives_the_same(
    model: str, options: dict[str, int], channels: int, classes: int | None
) -> None:
    torch.manual_seed(0)
    factory = CATALOG.backbone(model).factory
    backbone = factory(in_channels=channels, weights=None, num_classes=classes, **options)
    backbone.eval()
    x = torch.randn(2, channels, 64, 64)
    answer = reference_for(model, options)(backbone, x)
    reads = fk.Reads(vector=True, maps="all", logits=classes is not None)
    with torch.no_grad():
        mine = backbone(x, reads.resolve(len(backbone.levels)))
    assert torch.equal(answer.vector, mine.vector)
    if classes is not None:
        assert answer.logits.shape == (2, classes)
        torch.testing.assert_close(answer.logits, mine.logits)
    if model.startswith("timm/"):
        assert len(answer.maps) == len(mine.maps) > 0
        for theirs, ours in zip(answer.maps, mine.maps, strict=True):
            assert torch.equal(theirs, ours)


def test_a_backbone_that_computes_something_else_is_noticed() -> None:
    class Doubled(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * self.inner(x)

    model = "timm/test_resnet"

    def make(*, in_channels: int, weights: str | None, num_classes: int | None) -> fk.Backbone:
        built = CATALOG.backbone(model).factory(
            in_channels=in_channels, weights=weights, num_classes=num_classes
        )
        built.trunk.act1 = Doubled(built.trunk.act1)
        return built

    reference = reference_for(model, {})
    report = kit.check_backbone(
        make, reference=reference, only=["equals_the_providers_model"], on_fail="report"
    )
    assert [outcome.check for outcome in report.failures] == ["equals_the_providers_model"]


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("timm/test_resnet", {}),
        ("timm/test_vit", {"img_size": 64}),
        ("torchvision/googlenet", {}),
        ("torchvision/regnet_x_400mf", {}),
    ],
)
def test_stock_keys_are_those_of_the_providers_checkpoint(
    model: str, options: dict[str, int]
) -> None:
    make = CATALOG.backbone(model).factory
    report = kit.check_backbone(
        lambda **given: make(**given, **options),
        stock_keys=stock_keys_for(model, options),
        only=["keys_are_stock_keys"],
    )
    assert report["keys_are_stock_keys"].status == "passed"
    keys = list(stock_keys_for(model, options)(None))
    assert any(key in keys for key in ("fc.weight", "head.weight", "aux1.fc1.weight"))


def test_nothing_is_known_of_other_providers() -> None:
    assert reference_for("hf/some", {}) is None
    assert stock_keys_for("hf/some", {}) is None
