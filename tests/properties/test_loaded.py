"""What is loaded into memory that was never filled is, bit for bit, what is loaded by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode
from zoo import ZOO, Specimen, identify

import fusionkit as fk

FAMILIES = {
    "timm/resnet18",
    "timm/convnextv2_atto",
    "timm/eva02_tiny_patch14_224",
    "timm/swin_tiny_patch4_window7_224",
    "timm/swinv2_cr_tiny_ns_224",
    "timm/levit_128s",
    "timm/efficientvit_m0",
    "timm/mvitv2_tiny",
    "timm/xcit_nano_12_p16_224",
    "torchvision/mobilenet_v3_small",
    "torchvision/swin_t",
    "torchvision/convnext_tiny",
}
SPECIMENS = [specimen for specimen in ZOO if specimen.name in FAMILIES]


class Poison(TorchFunctionMode):
    """Fills memory that nobody wrote to with NaN, so that whoever reads it is found out."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Gives new memory with NaN in it."""
        made = func(*args, **(kwargs or {}))
        if func in (torch.empty, torch.empty_like, Tensor.new_empty) and not made.is_meta:
            made = made.fill_(torch.nan) if made.is_floating_point() else made
        return made


def compose(specimen: Specimen, weights: object = None) -> fk.FusedModel:
    branch = fk.Branch(specimen.name, weights=weights, options=specimen.options)
    return fk.compose({"a": branch}, "concat", 3).eval()


def tensors(model: fk.FusedModel) -> Iterator[tuple[str, Tensor]]:
    """Gives parameters and buffers, those that no file holds too."""
    yield from model.branches.named_parameters()
    yield from model.branches.named_buffers()


@pytest.mark.parametrize("specimen", SPECIMENS, ids=identify)
def test_p6_every_value_is_the_files_or_computed_as_ever(specimen, tmp_path):
    torch.manual_seed(1)
    by_hand = compose(specimen)
    trunk = by_hand.branches["a"].get_submodule(by_hand.branches["a"].trunk_path)
    state = {name: value.clone() for name, value in trunk.state_dict().items()}
    save_file(state, tmp_path / "trunk.safetensors")
    saved = fk.save(by_hand, tmp_path / "saved")
    torch.manual_seed(2)
    with Poison():
        composed = compose(specimen, tmp_path / "trunk.safetensors")
        loaded = fk.load(saved)
    wanted = dict(tensors(by_hand))
    x = specimen.example(2)
    with torch.no_grad():
        embedded = by_hand.embed(x)["a"]
        for model in (composed, loaded):
            found = dict(tensors(model))
            assert found.keys() == wanted.keys()
            wrong = [name for name, value in wanted.items() if not torch.equal(found[name], value)]
            assert not wrong
            assert torch.equal(model.embed(x)["a"], embedded)
    assert len(SPECIMENS) == len(FAMILIES)
