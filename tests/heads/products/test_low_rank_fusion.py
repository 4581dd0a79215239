"""Low-rank fusion against loops, and against the tensor fusion that it decomposes."""

from __future__ import annotations

import pytest
import torch
from product_loops import check_against_loops, sum_of_products
from toy_features import (
    NUM_CLASSES,
    assert_same_with_gradients,
    leaves,
    make_features,
    make_inputs,
    perturb,
)

import fusionkit as fk
from fusionkit.heads.products.low_rank_fusion import LowRankFusion
from fusionkit.heads.products.tensor_fusion import TensorFusion


def reference(head, vectors):
    products = sum_of_products(head.product, vectors)
    return [products[k] + head.bias[k] for k in range(NUM_CLASSES)]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("norm", ["layer", "none"])
def test_equals_the_formula_in_loops(count, rank, norm):
    check_against_loops(LowRankFusion, count, reference, rank=rank, norm=norm)


def factors_of(head, name):
    """F_{i,r} as "k r (1 + d)", the row of the constant first."""
    factor = head.product.factors[name]
    whole = torch.cat([factor.bias[:, None], factor.weight], dim=1)
    return whole.view(*head.product.shape, -1)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("rank", [1, 3])
def test_equals_tensor_fusion_whose_weight_is_the_sum_of_outer_products(count, rank):
    inputs = make_inputs(count)
    low = LowRankFusion(inputs, num_classes=NUM_CLASSES, rank=rank).double()
    perturb(low)
    full = TensorFusion(inputs, num_classes=NUM_CLASSES).double()
    weights = []
    for k in range(NUM_CLASSES):
        total = 0
        for r in range(rank):
            term = torch.ones(1).double()
            for name in sorted(inputs):
                term = torch.outer(term, factors_of(low, name)[k, r]).flatten()
            total = total + term
        weights.append(total)
    with torch.no_grad():
        full.classifier[-1].weight.copy_(torch.stack(weights))
        full.classifier[-1].bias.copy_(low.bias)
    features = make_features(low, inputs, dtype=torch.float64, requires_grad=True)
    assert_same_with_gradients(low(features), full(features), leaves(features))
    present = {"audio": features["audio"]}
    torch.testing.assert_close(low(present), full(present))


def test_of_rank_one_the_weight_is_one_outer_product():
    inputs = make_inputs(2)
    head = LowRankFusion(inputs, num_classes=2, rank=1, norm="none").double()
    perturb(head)
    u, v = (factors_of(head, name)[:, 0] for name in ("audio", "image"))
    features = make_features(head, inputs, dtype=torch.float64)
    x, y = (
        torch.cat([torch.ones(3, 1).double(), features[name].vector], dim=1)
        for name in ("audio", "image")
    )
    torch.testing.assert_close(head(features), (x @ u.T) * (y @ v.T) + head.bias)


def test_the_factors_are_registered_trained_and_saved():
    head = LowRankFusion(make_inputs(3), num_classes=2)
    names = {name for name, _ in head.named_parameters()}
    due = {f"product.factors.{n}.{p}" for n in make_inputs(3) for p in ("weight", "bias")}
    assert names == due | {"bias"} == set(head.state_dict())


def test_at_the_start_an_absent_branch_changes_the_scale_of_nothing():
    """The constant's row starts so that a factor without its vector is one, over all terms."""
    inputs = make_inputs(3)
    head = LowRankFusion(inputs, num_classes=2, rank=1, norm="none")
    features = make_features(head, inputs, batch=5)
    zeros = {**features, "image": fk.Features(torch.zeros(5, 7))}
    del features["image"]
    assert torch.equal(head(features), head(zeros))
    pair = {name: feature.vector for name, feature in features.items()}
    torch.testing.assert_close(head(features), head.product(pair))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "option rank takes a whole number of at least 1, got 0"),
        ({"norm": {"x": "l2"}}, "option norm: there is no branch 'x'"),
    ],
    ids=["rank", "norm"],
)
def test_options_that_are_wrong(options, message):
    with pytest.raises(fk.ConfigError, match=message):
        LowRankFusion(make_inputs(), num_classes=2, **options)
