"""A model that a file will fill is built once, on the meta device, and is the same model."""

from __future__ import annotations

import pytest
import timm
import torch
from timm_zoo import ZOO
from torch import nn

from fusionkit.providers.timm.build import build_empty
from fusionkit.providers.timm.describe import _describe
from fusionkit.providers.timm.empty import Born, Snapshot, give_memory
from fusionkit.providers.timm.plugin import TimmModels


def on_meta(build):
    with torch.device("meta"):
        return build(), Born()


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_filled_it_is_the_model(name, again, known, request):
    _describe.cache_clear()
    if not known:
        request.getfixturevalue("nothing_known")
    if again:
        build_empty(name)
    backbone = build_empty(name)
    wanted = timm.create_model(name, num_classes=0)
    told = wanted.state_dict(keep_vars=True)
    ours = backbone.trunk.state_dict(keep_vars=True)
    assert list(ours) == list(told)
    for key, value in told.items():
        got = ours[key]
        assert (got.shape, got.dtype, got.device) == (value.shape, value.dtype, value.device)
        assert (type(got), got.requires_grad) == (type(value), value.requires_grad)
    assert all(part.training for part in backbone.modules())
    backbone.trunk.load_state_dict(wanted.state_dict())
    images = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        assert torch.equal(backbone.trunk.eval()(images), wanted.eval()(images))


@pytest.mark.usefixtures("nothing_known")
@pytest.mark.parametrize("name", ZOO)
def test_no_tensor_is_left_on_the_meta_device(name):
    backbone = build_empty(name, **ZOO[name])
    if backbone is None:  # the core then builds it in the usual way
        assert list(TimmModels()[name](**ZOO[name]).parameters())
        return
    for part in backbone.modules():
        for value in (*vars(part).values(), *part._parameters.values(), *part._buffers.values()):
            assert not (isinstance(value, torch.Tensor) and value.is_meta)


@pytest.mark.usefixtures("nothing_known")
def test_buffers_that_no_file_holds_keep_their_values():
    assert build_empty("swin_tiny_patch4_window7_224") is None


def test_tied_parameters_stay_tied_and_attributes_stay():
    def build():
        module = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
        module["b"].weight = module["a"].weight
        module["a"].weight.mark = "kept"
        module["a"].bias.requires_grad_(False)
        return module

    module, born = on_meta(build)
    assert give_memory(module, born)
    assert module["a"].weight is module["b"].weight
    assert module["a"].weight.mark == "kept"
    assert not module["a"].bias.requires_grad
    assert {value.device.type for value in module.parameters()} == {"cpu"}


class Hides(nn.Module):
    """Keeps a tensor where no state dict looks."""

    def __init__(self, how):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3))
        table = torch.zeros(3)
        if how == "buffer":
            self.register_buffer("table", table, persistent=False)
        elif how == "parameter in a list":
            self.held = [self.weight]
        elif how == "lazy":
            self.layer = nn.LazyLinear(2)


@pytest.mark.parametrize("how", ["buffer", "parameter in a list", "lazy"])
def test_a_model_with_other_tensors_is_not_used(how):
    module, born = on_meta(lambda: Hides(how))
    assert not give_memory(module, born)


def test_a_tensor_that_only_a_closure_holds_is_found():
    born = Born()
    module, _ = on_meta(lambda: nn.Linear(2, 2))

    def reader():
        table = torch.zeros(3, device="meta")
        born.note([(table,), "other"])
        return lambda: table

    module.read = reader()
    assert not give_memory(module, born)
    del module.read
    assert born.are_gone()


def test_a_trace_of_a_run_is_found():
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    before = Snapshot(module)
    assert before.is_unchanged()
    module[1].eval()
    assert not before.is_unchanged()
    module.train()
    assert before.is_unchanged()
    module[0].seen = torch.ones(3)
    assert not before.is_unchanged()
