"""A timm backbone computes what timm's own model computes, and only that."""

import copy
import pickle

import pytest
import timm
import torch
from timm_zoo import CACHES_IN_EVAL, ZOO, perturb, picture
from torch import nn

import fusionkit as fk
from fusionkit.providers.timm.backbone import TimmBackbone
from fusionkit.providers.timm.plugin import TimmModels

VECTOR = fk.Reads(vector=True)
LOGITS = fk.Reads(logits=True)
BOTH = fk.Reads(vector=True, logits=True)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def build(name, **arguments):
    backbone = TimmModels()[name](**arguments, **ZOO.get(name, {}))
    perturb(backbone)
    return backbone.eval()


def own_classes(name):
    return timm.models.get_pretrained_cfg(name).num_classes


def assert_near(actual, expected):
    scale = expected.abs().mean() + 1e-12
    torch.testing.assert_close(actual / scale, expected / scale, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ZOO)
@torch.no_grad()
def test_vector_is_the_headless_models_own_output(name):
    backbone = build(name)
    stock = timm.create_model(name, num_classes=0, **ZOO[name]).eval()
    stock.load_state_dict(backbone.trunk.state_dict(), strict=True)
    images = picture(backbone)
    vector, maps, logits = backbone(images, VECTOR)
    assert maps == ()
    assert logits is None
    assert vector.shape == (2, backbone.embed_dim)
    assert_near(vector, stock(images))


@pytest.mark.parametrize("name", [name for name in ZOO if own_classes(name)])
@torch.no_grad()
def test_logits_are_the_stock_models_own_output(name):
    backbone = build(name, num_classes=own_classes(name))
    stock = timm.create_model(name, **ZOO[name]).eval()
    stock.load_state_dict(backbone.trunk.state_dict(), strict=True)
    images = picture(backbone)
    expected = stock(images)
    assert backbone.num_classes == expected.shape[1]
    assert torch.equal(backbone(images, LOGITS).logits, expected)
    both = backbone(images, BOTH)
    assert_near(both.logits, expected)
    assert_near(both.vector, backbone(images, VECTOR).vector)
    assert both.vector.shape == (2, backbone.embed_dim)


@pytest.mark.parametrize("name", ZOO)
@torch.no_grad()
def test_levels_are_what_comes_out(name):
    backbone = build(name)
    images = picture(backbone)
    count = len(backbone.levels)
    everything = fk.Reads(vector=True, maps="all").resolve(count)
    vector, maps, _ = backbone(images, everything)
    assert len(maps) == count > 0
    strides = [level.stride for level in backbone.levels]
    assert strides == sorted(strides)
    slack = 4 if name == "inception_v3" else 1.5  # its convolutions are not padded
    for level, maps_of_level in zip(backbone.levels, maps, strict=True):
        assert maps_of_level.shape[1] == level.channels
        for side, pixels in zip(maps_of_level.shape[2:], images.shape[2:], strict=True):
            assert abs(side - pixels / level.stride) <= slack, (level, maps_of_level.shape)
    assert_near(vector, backbone(images, VECTOR).vector)
    few = (0, count - 1)
    alone = backbone(images, fk.Reads(maps=few).resolve(count))
    assert alone.vector is None
    assert alone.logits is None
    for got, index in zip(alone.maps, sorted(set(few)), strict=True):
        assert_near(got, maps[index])


def test_only_what_is_read_is_computed():
    backbone = build("test_resnet", num_classes=1000)
    seen = []
    for part in ("layer1", "layer4", "fc"):
        module = backbone.trunk.get_submodule(part)
        module.register_forward_hook(lambda *_, part=part: seen.append(part))
    images = picture(backbone)
    backbone(images, fk.Reads(maps=(1,)))
    assert seen == ["layer1"]
    seen.clear()
    backbone(images, VECTOR)
    assert seen == ["layer1", "layer4"]
    seen.clear()
    backbone(images, fk.Reads(vector=True, maps=(1, 4), logits=True))
    assert seen == ["layer1", "layer4", "fc"]
    assert backbone(images, fk.Reads()) == fk.Features()


def test_logits_without_a_classifier_are_refused():
    backbone = build("test_resnet")
    assert backbone.num_classes is None
    with pytest.raises(fk.AssemblyError, match=r"classifier was dropped"):
        backbone(picture(backbone), LOGITS)


@pytest.mark.parametrize("name", ["test_resnet", "vit_tiny_patch16_224", "levit_128s"])
def test_maps_and_vector_learn(name):
    backbone = build(name).train()
    count = len(backbone.levels)
    vector, maps, _ = backbone(picture(backbone), fk.Reads(vector=True, maps="all").resolve(count))
    (vector.sum() + sum(level.mean() for level in maps)).backward()
    without = [n for n, value in backbone.trunk.named_parameters() if value.grad is None]
    assert without == []


@pytest.mark.parametrize("name", CACHES_IN_EVAL)
@torch.no_grad()
def test_f046_no_stale_cache_after_weights_are_loaded(name):
    warm, fresh = build(name), build(name)
    images = picture(warm)
    before = warm(images, VECTOR).vector
    other = build(name)
    perturb(other, seed=5)
    with torch.no_grad():
        for name_, value in other.trunk.named_parameters():
            if "attention_bias" in name_:
                value.add_(torch.randn_like(value))
    warm.trunk.load_state_dict(other.trunk.state_dict())
    fresh.trunk.load_state_dict(other.trunk.state_dict())
    assert torch.equal(warm(images, VECTOR).vector, fresh(images, VECTOR).vector)
    assert not torch.allclose(before, warm(images, VECTOR).vector)


@pytest.mark.parametrize("name", [*CACHES_IN_EVAL, "test_resnet", "swin_tiny_patch4_window7_224"])
def test_f026_copies_and_pickles_after_a_pass_with_gradients(name):
    backbone = build(name)
    images = picture(backbone)
    expected = backbone(images, VECTOR).vector.detach()
    twins = [copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))]
    for twin in twins:
        assert isinstance(twin, TimmBackbone)
        assert torch.equal(twin(images, VECTOR).vector, expected)
        assert twin.stages == backbone.stages
        assert twin.trunk is not backbone.trunk


@torch.no_grad()
def test_changing_the_precision_leaves_no_cache_of_the_old_one():
    backbone = build("levit_128s")
    images = picture(backbone)
    backbone(images, VECTOR)
    backbone.double()
    assert backbone(images.double(), VECTOR).vector.dtype == torch.float64


@pytest.mark.parametrize("name", ["test_resnet", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
@torch.no_grad()
def test_exports_with_a_dynamic_batch(name):
    backbone = build(name, num_classes=1000)

    class Answers(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = backbone

        def forward(self, images):
            return self.backbone(images, fk.Reads(vector=True, maps=(0,), logits=True))

    images = picture(backbone)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(Answers().eval(), (images,), dynamic_shapes=({0: batch},))
    more = torch.cat([images, images, images])
    for got, expected in zip(program.module()(more), Answers()(more), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["test_resnet", "vit_tiny_patch16_224", "convnext_atto"])
@torch.no_grad()
def test_compiles_as_one_graph(name):
    backbone = build(name, num_classes=1000)
    compiled = torch.compile(backbone, fullgraph=True, backend="eager")
    images = picture(backbone)
    reads = fk.Reads(vector=True, maps=(0, 3), logits=True)
    expected, got = backbone(images, reads), compiled(images, reads)
    assert torch.equal(got.vector, expected.vector)
    assert torch.equal(got.logits, expected.logits)
    assert all(torch.equal(a, b) for a, b in zip(got.maps, expected.maps, strict=True))


def test_a_stock_classifier_is_dropped_when_another_count_is_wanted():
    assert build("test_resnet", num_classes=10).num_classes is None
    assert build("test_resnet", num_classes=1000).num_classes == 1000
