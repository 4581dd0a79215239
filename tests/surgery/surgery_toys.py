"""Fused toys with values of their own, and what tells whether two are alike."""

from __future__ import annotations

import torch
from torch import nn
from toys import perturb, toy_catalog

import fusionkit as fk

CATALOG = toy_catalog()
INPUTS = {
    "image": torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)),
    "flow": torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(2)),
}
BRANCHES = {
    "rgb": fk.Branch("toy/tiny", weights=None, freeze=fk.Freeze.all(), lr=fk.LR(0.1)),
    "flow": fk.Branch(
        "toy/tiny",
        weights=None,
        input="flow",
        in_channels=5,
        freeze=fk.Freeze.gradual(every=2),
        lr=fk.LR(0.1, layer_decay=0.75),
    ),
}


def fused(seed: int = 0, *, epoch: int = 3, head: str = "toy/sum", **branches) -> fk.FusedModel:
    """Gives a model with a frozen and a thawing branch, whose values its seed decides."""
    torch.manual_seed(seed)
    model = fk.compose(branches or BRANCHES, head=head, num_classes=3, catalog=CATALOG)
    perturb(model, seed)
    return model.set_epoch(epoch).eval()


def tensors_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """Gives a copy of every tensor, those that are not saved too."""
    held = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: value.detach().clone() for name, value in held.items()}


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype, name
        assert torch.equal(value, theirs[name]), name


def memory_of(module: nn.Module) -> set[int]:
    return {value.untyped_storage().data_ptr() for value in module.state_dict().values()}
