"""What the timm plugin lists and looks up, and what it does not import."""

import subprocess
import sys
import time

import pytest
import timm

from fusionkit import ConfigError
from fusionkit.providers.timm import plugin

MODELS = plugin.fusionkit_backbones()


def test_lists_every_registered_model_and_nothing_else():
    names = list(MODELS)
    assert names == timm.list_models()
    assert len(MODELS) == len(names) == len(set(names)) > 1000
    start = time.perf_counter()
    list(MODELS)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    "name", ["resnet50", "resnet50.a1_in1k", "local-dir:/somewhere", "hf-hub:timm/resnet50.a1_in1k"]
)
def test_finds_names_tags_folders_and_repositories(name):
    assert name in MODELS
    assert callable(MODELS[name])


@pytest.mark.parametrize(
    "name",
    ["resnt50", "resnt50.a1_in1k", "resnet50.", "", "local-dir:", "hf-hub:", "owner/resnet50"],
)
def test_an_unknown_name_is_a_key_error(name):
    assert name not in MODELS
    with pytest.raises(KeyError, match=r"^'"):
        MODELS[name]


def test_an_unknown_tag_is_answered_with_near_tags():
    assert "resnet50.a1_in2k" not in MODELS
    with pytest.raises(ConfigError, match=r"resnet50 has no weights 'a1_in2k'. Did you mean 'a1_"):
        MODELS["resnet50.a1_in2k"]


def test_a_factory_tells_its_weights():
    assert "a1_in1k" in MODELS["resnet50"].available_weights()
    assert MODELS["local-dir:/somewhere"].available_weights() == ()


def test_a_former_name_is_no_name():
    former = next(iter(timm.models._registry.get_deprecated_models()))
    assert former not in MODELS


def test_importing_the_plugin_imports_no_timm():
    code = (
        "import sys, fusionkit.providers.timm.plugin as p; m = p.fusionkit_backbones();"
        "assert not {'timm', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
