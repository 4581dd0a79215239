"""``fuse`` gives the answer to features that were computed before."""

from __future__ import annotations

import pytest
import torch
from toys import ToyPlugin

import fusionkit as fk

CATALOG = fk.Catalog.installed().with_plugin("toys", ToyPlugin())


def build(head: str = "concat", **branch: object) -> fk.FusedModel:
    torch.manual_seed(0)
    branches = {
        name: fk.Branch("toys/vector", weights=None, input=name, in_channels=5, **branch)
        for name in "ab"
    }
    return fk.compose(branches, head, num_classes=3, catalog=CATALOG)


def draw(batch: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(batch, 5, generator=generator) for name in "ab"}


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_features_and_fuse_are_forward(dropout: float) -> None:
    model = build(branch_dropout=dropout)
    for mode in (True, False):
        model.train(mode)
        torch.manual_seed(2)
        expected = model(draw(16))
        torch.manual_seed(2)
        assert torch.equal(model.fuse(model.features(draw(16))), expected)


def test_branch_dropout_is_part_of_it_in_training_only() -> None:
    model = build(branch_dropout=0.5)
    features = model.features(draw(32))
    whole = model.head(features)
    assert torch.equal(model.eval().fuse(features), whole)
    assert not torch.equal(model.train().fuse(features), whole)
