"""MLB against loops, its rank, and branches that are absent."""

from __future__ import annotations

import pytest
import torch
from product_loops import check_against_loops, linear, sum_of_products, tanh
from toy_features import NUM_CLASSES, make_features, make_inputs, perturb

import fusionkit as fk
from fusionkit.heads.products.mlb import MLB


def reference(head, vectors):
    part = head.product
    width = part.shape[0]
    product = [1.0] * width
    for name, x in zip(part.factors, vectors, strict=True):
        factor = linear(part.factors[name], x)
        if isinstance(part.activation, torch.nn.Tanh):
            factor = tanh(factor)
        product = [product[j] * factor[j] for j in range(width)]
    return linear(head.classifier, product)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("activation", ["tanh", "none"])
@pytest.mark.parametrize("norm", ["layer", "none"])
def test_equals_the_formula_in_loops(count, activation, norm):
    check_against_loops(MLB, count, reference, width=6, activation=activation, norm=norm)


def test_without_tanh_each_class_is_a_bilinear_form_of_the_width_as_rank():
    inputs = make_inputs(2)
    head = MLB(inputs, num_classes=3, width=2, activation="none", norm="none").double()
    perturb(head)
    with torch.no_grad():
        for factor in head.product.factors.values():
            factor.bias.zero_()
    u, v = (head.product.factors[name].weight for name in ("audio", "image"))
    features = make_features(head, inputs, dtype=torch.float64)
    for k in range(3):
        form = sum(head.classifier.weight[k, d] * torch.outer(u[d], v[d]) for d in range(2))
        assert torch.linalg.matrix_rank(form) == 2
        x, y = features["audio"].vector, features["image"].vector
        expected = torch.einsum("bi,ij,bj->b", x, form, y) + head.classifier.bias[k]
        torch.testing.assert_close(head(features)[:, k], expected)


def test_of_an_absent_branch_the_bias_is_left():
    inputs = make_inputs(3)
    head = MLB(inputs, num_classes=NUM_CLASSES, width=6).double()
    perturb(head)
    features = make_features(head, inputs, dtype=torch.float64)
    del features["image"]
    rows = []
    for sample in range(3):
        part = head.product
        product = torch.tanh(part.factors["image"].bias)
        for name in ("audio", "text"):
            x = head.vectors.blocks[name](features[name].vector[sample])
            product = product * torch.tanh(part.factors[name](x))
        rows.append(head.classifier(product))
    torch.testing.assert_close(head(features), torch.stack(rows))


def test_a_single_term_is_the_product_itself():
    head = MLB(make_inputs(2), num_classes=2, width=3, activation="none", norm="none").double()
    vectors = [list(torch.randn(5).double()), list(torch.randn(7).double())]
    features = {
        "audio": fk.Features(vector=torch.stack(vectors[0])[None]),
        "image": fk.Features(vector=torch.stack(vectors[1])[None]),
    }
    expected = torch.stack(linear(head.classifier, sum_of_products(head.product, vectors)))
    torch.testing.assert_close(head(features)[0], expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "option width takes a whole number of at least 1, got 0"),
        ({"activation": "relu"}, "option activation is 'tanh' or 'none', got 'relu'"),
        ({"norm": "layr"}, "option norm is .*'layer'"),
        ({"dropout": 1.0}, "option dropout takes the share"),
    ],
    ids=["width", "activation", "norm", "dropout"],
)
def test_options_that_are_wrong(options, message):
    with pytest.raises(fk.ConfigError, match=message):
        MLB(make_inputs(), num_classes=2, **options)
