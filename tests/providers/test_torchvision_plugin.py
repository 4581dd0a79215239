"""The list of torchvision's models, and what a name gives."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from fusionkit.providers.torchvision.plugin import TorchvisionModels, fusionkit_backbones


def test_lists_all_classification_and_video_models() -> None:
    from torchvision import models

    names = list(fusionkit_backbones())

    images = models.list_models(module=models)
    videos = models.list_models(module=models.video)
    assert names == [*images, *videos]
    assert len(images) >= 80
    assert len(videos) >= 9
    assert len(fusionkit_backbones()) == len(names) == len(set(names))


def test_looking_up_gives_a_factory_and_builds_nothing() -> None:
    factory = TorchvisionModels()["vit_h_14"]

    assert callable(factory)
    assert "resnet18" in TorchvisionModels()
    assert pickle.loads(pickle.dumps(factory)).args == ("vit_h_14",)


def test_a_factory_tells_its_weights() -> None:
    weights = TorchvisionModels()["resnet50"].available_weights()

    assert weights == ("IMAGENET1K_V1", "IMAGENET1K_V2")


@pytest.mark.parametrize("name", ["resnet19", "fcn_resnet50", "quantized_resnet18", "", 3])
def test_an_unknown_name_is_a_key_error(name: str) -> None:
    assert name not in TorchvisionModels()
    with pytest.raises(KeyError):
        TorchvisionModels()[name]


def test_importing_the_plugin_imports_no_torchvision() -> None:
    code = (
        "import sys, fusionkit.providers.torchvision.plugin as plugin; "
        "plugin.fusionkit_backbones(); "
        "sys.exit(any(name in sys.modules for name in ('torchvision', 'timm', 'lightning')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
