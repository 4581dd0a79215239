"""Sum, mean, product and maximum against loops in float64."""

from __future__ import annotations

import pytest
import torch
from toy_features import NUM_CLASSES, make_features, make_inputs
from vector_loops import check, linear

import fusionkit as fk
from fusionkit.heads.vectors.concat import Concat
from fusionkit.heads.vectors.elementwise import (
    MaxVectors,
    MeanVectors,
    ProductVectors,
    SumVectors,
)

HEADS = [SumVectors, MeanVectors, ProductVectors, MaxVectors]
each_head = pytest.mark.parametrize("make", HEADS, ids=lambda make: make.__name__)


def join(make, column):
    total = column[0]
    for value in column[1:]:
        if make is ProductVectors:
            total = total * value
        elif make is MaxVectors:
            total = value if value > total else total
        else:
            total = total + value
    return total / len(column) if make is MeanVectors else total


def fuse_with(make):
    def fuse(head, vectors):
        rows = [linear(head.vectors.blocks[name].linear, row) for name, row in vectors.items()]
        return [join(make, column) for column in zip(*rows, strict=True)]

    return fuse


@each_head
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("norm", ["layer", "none"])
@pytest.mark.parametrize("hidden", [None, [5]], ids=str)
def test_equals_the_formula_in_loops(make, count, norm, hidden):
    check(make, fuse_with(make), count=count, norm=norm, width=4, hidden=hidden)


@each_head
@pytest.mark.parametrize("only", [("image",), ("audio", "text")], ids="-".join)
def test_absent_branches_are_left_out(make, only):
    check(make, fuse_with(make), count=3, only=only, width=4)


def test_a_sum_without_hidden_layers_is_a_concat_of_low_rank():
    inputs = make_inputs(2)
    head = SumVectors(inputs, num_classes=NUM_CLASSES, width=3, norm="none")
    concat = Concat(inputs, num_classes=NUM_CLASSES, norm="none")
    last = head.classifier[0]
    blocks = [head.vectors.blocks[name].linear for name in ("audio", "image")]
    with torch.no_grad():
        weight = torch.cat([last.weight @ block.weight for block in blocks], dim=1)
        concat.classifier[0].weight.copy_(weight)
        concat.classifier[0].bias.copy_(last.bias + last.weight @ sum(b.bias for b in blocks))
    features = make_features(head, inputs)
    torch.testing.assert_close(head(features), concat(features))


@pytest.mark.parametrize("count", [2, 8, 32])
def test_a_product_neither_vanishes_nor_grows_with_the_number_of_its_factors(count):
    inputs = {f"branch{i:02}": fk.HeadInput(embed_dim=32) for i in range(count)}
    torch.manual_seed(0)
    head = ProductVectors(inputs, num_classes=NUM_CLASSES)
    vectors = head.vectors({name: fk.Features(vector=torch.randn(64, 32)) for name in inputs})
    fused = head.join(list(vectors.values()))
    assert 0.9 < fused.std() < 1.6


@each_head
def test_a_width_is_a_whole_number(make):
    with pytest.raises(fk.ConfigError, match="option width takes a whole number of at least 1"):
        make(make_inputs(2), num_classes=NUM_CLASSES, width=0)
