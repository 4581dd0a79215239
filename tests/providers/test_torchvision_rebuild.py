"""What the weights decided of an architecture is there again after a load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models import _api as api
from torchvision.models import get_model_builder
from torchvision_zoo import perturb

import fusionkit as fk
from fusionkit.providers.torchvision.weights import find_weights


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    files: dict[str, Any] = {}
    monkeypatch.setattr(api, "load_state_dict_from_url", lambda url, *_, **__: files[url])
    return files


def image(side: int, channels: int = 3) -> Tensor:
    return torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "channels"), [("googlenet", 3), ("inception_v3", 3), ("googlenet", 4)]
)
@torch.no_grad()
def test_the_images_are_renormalised_as_before(
    served: dict[str, Any], tmp_path: Path, name: str, channels: int
) -> None:
    stock = get_model_builder(name)(weights=None, init_weights=False)
    perturb(stock, image(299))
    served[find_weights(name, "default").url] = stock.state_dict()
    branch = fk.Branch(f"torchvision/{name}", in_channels=channels)
    model = fk.compose({"a": branch}, "concat", 3).eval()
    folder = fk.save(model, tmp_path / "model")
    served.clear()
    again = fk.load(folder)
    assert again.branches["a"].trunk.transform_input is (channels == 3)
    assert torch.equal(again(image(96, channels)), model(image(96, channels)))
    assert again.recipe == model.recipe


@torch.no_grad()
def test_a_larger_vision_transformer_is_as_large_again(
    served: dict[str, Any], tmp_path: Path
) -> None:
    entry = find_weights("vit_b_16", "IMAGENET1K_SWAG_E2E_V1")
    stock = get_model_builder("vit_b_16")(weights=None, image_size=384)
    served[entry.url] = stock.state_dict()
    branch = fk.Branch("torchvision/vit_b_16", weights=entry.name)
    model = fk.compose({"a": branch}, "mean_logits", 1000).eval()
    folder = fk.save(model, tmp_path / "model")
    served.clear()
    again = fk.load(folder)
    backbone = again.branches["a"]
    assert backbone.fixed_size == (384, 384)
    assert backbone.weights == entry.name
    assert backbone.preprocessing == model.branches["a"].preprocessing
    assert torch.equal(again(image(384)[:1]), model(image(384)[:1]))


def test_random_models_need_nothing_more(served: dict[str, Any]) -> None:
    branch = fk.Branch("torchvision/resnet18", weights=None)
    assert fk.compose({"a": branch}, "concat", 3).branches["a"].rebuild is None
