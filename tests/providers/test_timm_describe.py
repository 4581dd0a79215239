"""What a backbone declares is what its trunk does, found without building it."""

import warnings

import pytest
import torch
from timm_zoo import ZOO

import fusionkit as fk
from fusionkit.providers.timm.describe import describe
from fusionkit.providers.timm.names import find_source
from fusionkit.providers.timm.plugin import TimmModels

VECTOR = fk.Reads(vector=True)

pytestmark = pytest.mark.usefixtures("nothing_known")


@pytest.mark.parametrize(
    ("name", "fixed", "multiple"),
    [
        ("test_resnet", None, 1),
        ("csatv2", None, 8),
        ("test_vit", None, 16),
        ("hrnet_w18_small", None, 32),
        ("vit_tiny_patch16_224", (224, 224), 1),
        ("levit_128s", (224, 224), 1),
        ("pit_ti_224", (224, 224), 1),
        ("xcit_nano_12_p16_224", None, 1),
    ],
)
@torch.no_grad()
def test_f018_sizes_that_are_refused(name, fixed, multiple):
    backbone = TimmModels()[name]().eval()
    assert backbone.fixed_size == fixed
    assert backbone.size_multiple == multiple
    if fixed is None:
        side = multiple * (1 + 96 // multiple)
        images = torch.randn(1, 3, side, side)
        backbone.check_input(images)
        assert backbone(images, VECTOR).vector.shape == (1, backbone.embed_dim)
    wrong = torch.randn(1, 3, 161, 161)
    if fixed is not None or multiple > 1:
        with pytest.raises(fk.DataError, match="161 x 161"):
            backbone.check_input(wrong)
        with pytest.raises((AssertionError, RuntimeError)):
            backbone(wrong, VECTOR)


def test_a_model_that_resizes_every_image_itself_has_one_size():
    backbone = TimmModels()["crossvit_tiny_240"]()
    assert backbone.fixed_size == (240, 240)
    assert {level.stride for level in backbone.levels} == {12, 17}
    with pytest.raises(fk.DataError, match="exactly 240 x 240 pixels"):
        backbone.check_input(torch.randn(1, 3, 224, 224))


def test_a_dynamic_size_lifts_the_restriction():
    backbone = TimmModels()["vit_tiny_patch16_224"](dynamic_img_size=True)
    assert (backbone.fixed_size, backbone.size_multiple) == (None, 16)
    padded = TimmModels()["vit_tiny_patch16_224"](dynamic_img_size=True, dynamic_img_pad=True)
    assert (padded.fixed_size, padded.size_multiple) == (None, 1)


@pytest.mark.parametrize("name", ZOO)
def test_first_layers_are_found_by_their_shapes(name):
    found = describe(find_source(name, None), 3, False, ZOO[name])
    if name in ("csatv2", "tresnet_m", "naflexvit_base_patch16_gap"):
        assert found.first_layers == ()
    else:
        assert len(found.first_layers) >= 1
        assert found.unadaptable == ()


def test_a_description_is_found_once():
    source = find_source("test_resnet", None)
    assert describe(source, 3, False, {}) is describe(source, 3, False, {})
    assert describe(source, 4, False, {}) is not describe(source, 3, False, {})
    assert describe(source, 3, False, {"drop_rate": 0.1}) is not describe(source, 3, False, {})


def test_an_encoder_without_a_head_gives_the_mean_over_positions():
    backbone = TimmModels()["qwen3_vit_88m_enc"]().eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        vector, maps, _ = backbone(images, fk.Reads(vector=True, maps=(0,)))
        expected = backbone.trunk(images).mean(1)
    assert torch.equal(vector, expected)
    assert torch.equal(vector, backbone(images, VECTOR).vector)
    assert vector.shape == (1, backbone.embed_dim)
    assert maps[0].shape == (1, backbone.levels[0].channels, 4, 4)


def test_describing_leaves_warnings_and_random_numbers_alone():
    before, filters = torch.get_rng_state(), list(warnings.filters)
    describe(find_source("csatv2", None), 3, True, {})
    assert torch.equal(torch.get_rng_state(), before)
    assert warnings.filters == filters


@pytest.mark.parametrize(
    ("name", "multiple"),
    [
        ("gemma4_vit_167m_enc", 48),  # from 768 pixels the first step tried for 16 leads to a 48th
        ("resnetaa34d", 32),  # it takes two pixels more than a multiple, and not three
        ("resnet50_clip", 32),
    ],
)
def test_a_multiple_is_not_taken_for_a_part_of_itself(name: str, multiple: int) -> None:
    with torch.device("meta"):
        build = fk.Catalog.installed().backbone(f"timm/{name}").factory
        backbone = build(in_channels=3, weights=None, num_classes=None)
    assert backbone.size_multiple == multiple
