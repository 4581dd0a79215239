"""Weights by tag, what their description says, and what is said when they cannot be had."""

from __future__ import annotations

import urllib.error
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.models import _api as api
from torchvision.models import get_model_builder, get_model_weights
from torchvision_zoo import perturb

from fusionkit import CheckpointError, ConfigError, Reads, adapt_input_channels
from fusionkit.providers.torchvision.build import build_backbone
from fusionkit.providers.torchvision.plugin import TorchvisionModels
from fusionkit.providers.torchvision.weights import describe_preprocessing, find_weights


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Serves state dicts by URL in place of torchvision's download, and notes what was asked."""
    files: dict[str, Any] = {}

    def download(url: str, *_: Any, **options: Any) -> Any:
        assert options["check_hash"] is True
        return files[url]

    monkeypatch.setattr(api, "load_state_dict_from_url", download)
    return files


def stock_state(name: str, x: Tensor, **options: Any) -> dict[str, Tensor]:
    trunk = get_model_builder(name)(weights=None, **options)
    perturb(trunk, x)
    return trunk.state_dict()


@pytest.fixture
def image() -> Tensor:
    return torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("tag", "found"),
    [
        ("default", "IMAGENET1K_V2"),
        ("DEFAULT", "IMAGENET1K_V2"),
        ("IMAGENET1K_V1", "IMAGENET1K_V1"),
        ("imagenet1k_v1", "IMAGENET1K_V1"),
        ("ResNet50_Weights.IMAGENET1K_V1", "IMAGENET1K_V1"),
        ("resnet50_weights.default", "IMAGENET1K_V2"),
    ],
)
def test_finds_weights_by_every_form_of_their_name(tag: str, found: str) -> None:
    assert find_weights("resnet50", tag).name == found


@pytest.mark.parametrize("tag", ["IMAGENET1K_V3", "imagenet1k", "ResNet50_Weights.IMAGENET_V1"])
def test_a_wrong_tag_is_answered_with_near_ones(tag: str) -> None:
    with pytest.raises(ConfigError, match="torchvision/resnet50 has no weights") as caught:
        build_backbone("resnet50", weights=tag)
    assert "Did you mean 'IMAGENET1K_V" in str(caught.value)
    assert "'default' takes torchvision's choice" in str(caught.value)


def test_a_tag_without_near_ones_is_answered_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"It has 'IMAGENET1K_V1', 'IMAGENET1K_SWAG_E2E_V1', "):
        build_backbone("vit_b_16", weights="laion")


@torch.no_grad()
def test_pretrained_weights_are_torchvisions_own(served: dict[str, Any], image: Tensor) -> None:
    entry = find_weights("resnet18", "default")
    state = served[entry.url] = stock_state("resnet18", image)
    stock = get_model_builder("resnet18")(weights=None).eval()
    stock.load_state_dict(state)

    kept = build_backbone("resnet18", weights="default", num_classes=1000).eval()
    dropped = build_backbone("resnet18", weights="imagenet1k_v1", num_classes=5).eval()

    assert (kept.weights, kept.num_classes) == ("IMAGENET1K_V1", 1000)
    assert (dropped.weights, dropped.num_classes) == ("IMAGENET1K_V1", None)
    assert torch.equal(kept(image, Reads(logits=True)).logits, stock(image))
    vector = dropped(image, Reads(vector=True)).vector
    assert torch.equal(stock.fc(vector), stock(image))
    assert build_backbone("resnet18").weights is None


def test_a_licence_that_torchvision_states_is_passed_on(
    served: dict[str, Any], image: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = find_weights("resnet18", "default")
    served[entry.url] = stock_state("resnet18", image)
    assert build_backbone("resnet18", weights="default").license is None
    monkeypatch.setitem(entry.meta, "license", "https://example.org/LICENSE")
    assert build_backbone("resnet18", weights="default").license == "https://example.org/LICENSE"
    assert build_backbone("resnet18").license is None


@pytest.mark.parametrize("channels", [1, 20])
@torch.no_grad()
def test_pretrained_first_layers_are_adapted(
    served: dict[str, Any], image: Tensor, channels: int
) -> None:
    state = served[find_weights("resnet18", "default").url] = stock_state("resnet18", image)

    backbone = build_backbone("resnet18", weights="default", in_channels=channels)

    expected = adapt_input_channels(state["conv1.weight"], channels)
    assert torch.equal(backbone.trunk.conv1.weight, expected)
    assert torch.equal(backbone.trunk.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
@torch.no_grad()
def test_models_with_auxiliary_classifiers(
    served: dict[str, Any], image: Tensor, name: str
) -> None:
    entry = find_weights(name, "default")
    served[entry.url] = stock_state(
        name, torch.randn(2, 3, 299, 299), init_weights=False, aux_logits=True
    )
    stock = get_model_builder(name)(weights=entry).eval()
    assert stock.transform_input

    backbone = build_backbone(name, weights="default", num_classes=1000)

    assert torch.equal(backbone.eval()(image, Reads(logits=True)).logits, stock(image))
    assert isinstance(backbone.train().trunk(image), Tensor)
    assert not any("aux" in key.lower() for key in backbone.trunk.state_dict())
    assert backbone.preprocessing == describe_preprocessing(entry)

    # What is built for a stock file that comes later sees the same image, either way.
    by_option = build_backbone(name, num_classes=1000, transform_input=True).eval()
    by_preprocessing = build_backbone(name, num_classes=1000).eval()
    for other in (by_option, by_preprocessing):
        other.trunk.load_state_dict(backbone.eval().trunk.state_dict())
    assert by_option.preprocessing == backbone.preprocessing
    photo = photograph()
    logits = [
        other(other.preprocessing.transform()(photo)[None], Reads(logits=True)).logits
        for other in (backbone, by_option, by_preprocessing)
    ]
    assert torch.equal(logits[0], logits[1])
    torch.testing.assert_close(logits[2], logits[0], rtol=1e-3, atol=1e-4)

    grey = build_backbone(name, weights="default", in_channels=1)
    assert not grey.trunk.transform_input
    assert grey.preprocessing is not None
    assert (grey.preprocessing.mean, grey.preprocessing.std) == ((0.5,), (0.5,))


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (urllib.error.URLError("no route to host"), "no network, or no answer .*no route to host"),
        (TimeoutError("timed out"), "no network, or no answer .*timed out"),
        (
            RuntimeError('invalid hash value (expected "f37072fd", got "0")'),
            "what came is damaged or another file",
        ),
    ],
)
def test_what_cannot_be_fetched_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, words: str
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise failure

    monkeypatch.setattr(api, "load_state_dict_from_url", fail)

    with pytest.raises(CheckpointError, match=words) as caught:
        build_backbone("resnet18", weights="default")
    assert "cannot fetch ResNet18_Weights.IMAGENET1K_V1 from https://" in str(caught.value)
    assert "weights=None" in str(caught.value)
    assert "safetensors" in str(caught.value)


def test_other_failures_keep_their_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "load_state_dict_from_url", lambda *_, **__: {"fc.bias": 1})

    with pytest.raises(RuntimeError, match="Missing key"):
        build_backbone("resnet18", weights="default")


def photograph() -> Image.Image:
    """Gives a picture in which interpolation, crop and rounding all show."""
    y, x = np.mgrid[0:300, 0:413]
    red, green = 128 + 127 * np.sin(x / 7 + y / 11), 128 + 127 * np.cos(x * y / 900)
    noise = np.random.default_rng(0).integers(0, 256, x.shape)
    return Image.fromarray(np.stack([red, green, noise], axis=-1).astype(np.uint8))


def described() -> list[Any]:
    """Gives one member of the weights enums for each description of image preprocessing."""
    from torchvision import models

    found: dict[str, Any] = {}
    for name in models.list_models(module=models):
        for entry in get_model_weights(name):
            found.setdefault(repr(entry.transforms()), entry)
    return list(found.values())


@pytest.mark.parametrize("entry", described(), ids=str)
def test_preprocessing_is_torchvisions_transform(entry: Any) -> None:
    transform = describe_preprocessing(entry).transform()

    assert torch.equal(transform(photograph()), entry.transforms()(photograph()))


def test_every_entry_of_every_model_is_described() -> None:
    count = 0
    for name in TorchvisionModels():
        for entry in get_model_weights(name):
            preprocessing = describe_preprocessing(entry)
            transform = entry.transforms()
            assert preprocessing.size[0] == transform.crop_size[0]
            assert list(preprocessing.mean) == list(transform.mean)
            count += 1
    assert count >= 120


def test_random_weights_have_the_recommended_preprocessing() -> None:
    entry = find_weights("mobilenet_v2", "default")

    backbone = build_backbone("mobilenet_v2")

    assert backbone.preprocessing == describe_preprocessing(entry)
    video = build_backbone("r3d_18").preprocessing
    assert video is not None
    assert (video.size, video.resize, video.frames) == ((112, 112), (128, 171), 16)
