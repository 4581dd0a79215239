"""Lazy layers have shapes before anything counts, loads or optimizes them."""

from __future__ import annotations

import warnings

import torch
from odd_toys import odd_catalog
from torch import nn

import fusionkit as fk
from fusionkit.assembly.lazy import shape_lazy_layers


class LazyNet(fk.Backbone):
    def __init__(self) -> None:
        super().__init__()
        self.embed_dim = 8
        self.conv = nn.Conv2d(3, 4, 3, 4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says that lazy layers are new
            self.last = nn.LazyLinear(8)

    def example(self, batch: int = 2) -> torch.Tensor:
        return torch.zeros(batch, 3, 16, 16)

    def forward(self, x: torch.Tensor, reads: fk.Reads) -> fk.Features:
        return fk.Features(vector=self.last(self.conv(x).flatten(1)))


def test_f023_lazy_layers_are_shaped_when_composed(tmp_path) -> None:
    def make(*, in_channels, weights, num_classes):
        return LazyNet()

    catalog = odd_catalog({"lazy": make})
    branch = fk.Branch("odd/lazy", weights=None, freeze=fk.Freeze.all())
    model = fk.compose({"a": branch}, "odd/sum", 3, catalog=catalog)
    assert model.branches["a"].last.weight.shape == (8, 64)
    assert not model.branches["a"].last.weight.requires_grad
    assert sum(len(group["params"]) for group in model.param_groups(lr=0.1)) == 6
    again = fk.load(fk.save(model, tmp_path / "lazy"), catalog=catalog)
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(again(x), model.eval()(x))


def test_a_lazy_classifier_is_shaped_too() -> None:
    class Classifying(LazyNet):
        def __init__(self) -> None:
            super().__init__()
            self.num_classes = 3
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.classifier = nn.LazyLinear(3)

        def forward(self, x: torch.Tensor, reads: fk.Reads) -> fk.Features:
            vector = super().forward(x, reads).vector
            return fk.Features(vector, logits=self.classifier(vector) if reads.logits else None)

    net = Classifying()
    shape_lazy_layers(net)
    assert net.classifier.weight.shape == (3, 8)
