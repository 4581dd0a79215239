"""Which weights a name and a tag mean."""

import json

import pytest

import fusionkit as fk
from fusionkit.providers.timm.names import find_source


def test_the_default_is_timms_own_tag():
    source = find_source("resnet50", "default")
    assert source.name == "resnet50.a1_in1k"
    assert source.has_weights
    assert find_source("resnet50", None).name == source.name


def test_a_tag_goes_before_the_one_in_the_name():
    assert find_source("resnet50.a1_in1k", "default").name == "resnet50.a1_in1k"
    assert find_source("resnet50.a1_in1k", "ra_in1k").name == "resnet50.ra_in1k"
    assert find_source("resnet50.a2_in1k", None).name == "resnet50.a2_in1k"


def test_each_tag_has_its_own_number_of_classes():
    assert find_source("convnext_tiny", "in12k").num_classes == 11821
    assert find_source("convnext_tiny", "fb_in1k").num_classes == 1000
    assert find_source("vit_small_patch14_dinov2", None).num_classes == 0


def test_a_wrong_tag_names_up_to_three_near_ones():
    with pytest.raises(fk.ConfigError, match=r"no weights 'a1_in2k'. Did you mean '") as caught:
        find_source("resnet50", "a1_in2k")
    assert 1 <= str(caught.value).count("_in1k'") <= 3
    with pytest.raises(fk.ConfigError, match=r"It has 'a1_in1k', .*, \.\.\."):
        find_source("resnet50", "xyzzy")


def test_a_model_without_weights_says_so():
    with pytest.raises(
        fk.ConfigError, match=r"no pretrained weights for resnet10t_?.*|weights=None"
    ):
        find_source("coatnet_0_224", "default")
    with pytest.raises(fk.ConfigError, match=r"write weights=None"):
        find_source("coatnet_0_224", "default")


def test_a_folder_has_no_tags(tmp_path):
    with pytest.raises(fk.ConfigError, match=r"has no tags"):
        find_source(f"local-dir:{tmp_path}", "a1_in1k")


def test_a_folder_without_a_description_says_what_is_missing(tmp_path):
    with pytest.raises(fk.ConfigError, match=r"holds no config.json"):
        find_source(f"local-dir:{tmp_path}", None)


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"architecture": 3, "pretrained_cfg": 1}'])
def test_a_folder_with_a_foreign_description_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(fk.ConfigError, match=r"does not describe a timm model"):
        find_source(f"local-dir:{tmp_path}", None)


def test_a_folder_of_an_unknown_architecture_names_near_ones(tmp_path):
    config = {"architecture": "resnet5O", "num_classes": 3, "pretrained_cfg": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(fk.ConfigError, match=r"'resnet5O', which this timm does not have. Did you"):
        find_source(f"local-dir:{tmp_path}", None)


def test_a_hub_that_cannot_be_reached_says_what_to_write(monkeypatch):
    def fail(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("timm.models._hub.hf_hub_download", fail)
    with pytest.raises(fk.CheckpointError, match=r"no network.*weights=None.*safetensors file"):
        find_source("hf-hub:timm/resnet50.a1_in1k", None)
