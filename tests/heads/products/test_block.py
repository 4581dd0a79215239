"""BLOCK against loops, one chunk as a Tucker decomposition, and absent branches."""

from __future__ import annotations

import pytest
import torch
from product_loops import check_against_loops, linear, power_normalise, sum_of_products
from toy_features import NUM_CLASSES, make_features, make_inputs, perturb

import fusionkit as fk
from fusionkit.heads.products.block import Block
from fusionkit.heads.products.mutan import Mutan


def reference(head, vectors):
    projected = [
        linear(head.vectors.blocks[name].linear, x)
        for name, x in zip(head.vectors.names, vectors, strict=True)
    ]
    joined, start = [], 0
    for core in head.cores:
        size = core.shape[0]
        fused = sum_of_products(core, [x[start : start + size] for x in projected])
        joined += power_normalise(fused) if head.normalise == "chunk" else fused
        start += size
    assert start == len(projected[0])
    return linear(head.classifier, power_normalise(joined) if head.normalise == "whole" else joined)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("normalise", ["chunk", "whole", "none"])
@pytest.mark.parametrize("chunks", [1, 3], ids=["one-chunk", "three-chunks"])
def test_equals_the_formula_in_loops(count, normalise, chunks):
    check_against_loops(
        Block, count, reference, width=8, chunks=chunks, rank=2, normalise=normalise
    )


def test_without_norms_too():
    check_against_loops(
        Block, 2, reference, width=7, chunks=3, rank=1, normalise="none", norm="none"
    )


def test_chunks_are_cut_as_evenly_as_it_goes():
    head = Block(make_inputs(2), num_classes=2, width=8, chunks=3, rank=2)
    assert [core.shape for core in head.cores] == [(3, 2), (3, 2), (2, 2)]


def test_one_chunk_is_a_tucker_decomposition_as_in_mutan():
    inputs = make_inputs(3)
    block = Block(inputs, num_classes=3, width=6, chunks=1, rank=2, normalise="none").double()
    perturb(block)
    mutan = Mutan(inputs, num_classes=3, project=6, width=6, rank=2, activation="none").double()
    mutan.vectors.load_state_dict(block.vectors.state_dict())
    mutan.core.load_state_dict(block.cores[0].state_dict())
    mutan.classifier.load_state_dict(block.classifier.state_dict())
    features = make_features(block, inputs, dtype=torch.float64)
    assert torch.equal(block(features), mutan(features))


def test_an_absent_branch_counts_as_zeros_in_every_core():
    options = {"num_classes": NUM_CLASSES, "width": 6, "chunks": 2, "rank": 2, "norm": "none"}
    head = Block(make_inputs(3), **options).double()
    perturb(head)
    with torch.no_grad():
        head.vectors.blocks["text"].linear.bias.zero_()
    features = make_features(head, make_inputs(3), dtype=torch.float64)
    features["text"] = fk.Features(torch.zeros_like(features["text"].vector))
    expected = head(features)
    del features["text"]
    torch.testing.assert_close(head(features), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunks": 9, "width": 8}, "9 chunks cannot be cut from width=8; write chunks=8 or fewer"),
        ({"chunks": 0}, "option chunks takes a whole number of at least 1, got 0"),
        ({"rank": None}, "option rank takes a whole number of at least 1, got None"),
        ({"normalise": "chunks"}, "option normalise is .*Did you mean 'chunk'"),
    ],
    ids=["too-many", "chunks", "rank", "normalise"],
)
def test_options_that_are_wrong(options, message):
    with pytest.raises(fk.ConfigError, match=message):
        Block(make_inputs(), num_classes=2, **options)
