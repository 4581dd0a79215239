"""MFB against loops, windows of one, dropout before the sum, and absent branches."""

from __future__ import annotations

import pytest
import torch
from product_loops import check_against_loops, linear, multiply, power_normalise
from toy_features import NUM_CLASSES, make_features, make_inputs, perturb

import fusionkit as fk
from fusionkit.heads.products.mfb import MFB


def reference(head, vectors):
    width, window = head.pooled.shape
    factors = [
        linear(head.pooled.factors[name], x)
        for name, x in zip(head.pooled.factors, vectors, strict=True)
    ]
    products = [multiply([factor[j] for factor in factors]) for j in range(width * window)]
    pooled = [sum(products[o * window : (o + 1) * window]) for o in range(width)]
    return linear(head.classifier, power_normalise(pooled))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("factors", [1, 3])
@pytest.mark.parametrize("norm", ["layer", "none"])
def test_equals_the_formula_in_loops(count, factors, norm):
    check_against_loops(MFB, count, reference, width=4, factors=factors, norm=norm)


def test_each_component_is_a_bilinear_form_of_as_many_factors_as_rank():
    inputs = make_inputs(2)
    head = MFB(inputs, num_classes=3, width=4, factors=2, norm="none").double()
    perturb(head)
    with torch.no_grad():
        for factor in head.pooled.factors.values():
            factor.bias.zero_()
    features = make_features(head, inputs, dtype=torch.float64)
    x, y = features["audio"].vector, features["image"].vector
    u, v = (head.pooled.factors[name].weight.view(4, 2, -1) for name in ("audio", "image"))
    forms = torch.einsum("oki,okj->oij", u, v)
    assert torch.linalg.matrix_rank(forms).tolist() == [2] * 4
    expected = torch.einsum("bi,oij,bj->bo", x, forms, y)
    vectors = {name: feature.vector for name, feature in features.items()}
    torch.testing.assert_close(head.eval().pooled(vectors), expected)


def test_products_are_dropped_before_they_are_summed():
    head = MFB(make_inputs(2), num_classes=2, width=200, factors=2, dropout=0.5)
    with torch.no_grad():
        for factor in head.pooled.factors.values():
            factor.weight.zero_()
            factor.bias.fill_(1.0)
    features = make_features(head, make_inputs(2), batch=1)
    pooled = head.train().pooled(head.vectors(features))
    assert set(pooled.flatten().tolist()) == {0.0, 2.0, 4.0}
    assert set(head.eval().pooled(head.vectors(features)).flatten().tolist()) == {2.0}


def test_of_an_absent_branch_the_biases_are_left():
    inputs = make_inputs(3)
    head = MFB(inputs, num_classes=NUM_CLASSES, width=4, factors=2, norm="none").double().eval()
    perturb(head)
    features = make_features(head, inputs, batch=1, dtype=torch.float64)
    alone = list(features["text"].vector[0])
    others = head.pooled.factors["audio"].bias * head.pooled.factors["image"].bias
    products = [
        mine * theirs
        for mine, theirs in zip(linear(head.pooled.factors["text"], alone), others, strict=True)
    ]
    pooled = [products[2 * o] + products[2 * o + 1] for o in range(4)]
    expected = torch.stack(linear(head.classifier, power_normalise(pooled)))
    torch.testing.assert_close(head({"text": features["text"]})[0], expected)


def test_zeros_leave_every_gradient_finite():
    inputs = make_inputs(2)
    head = MFB(inputs, num_classes=2, width=4, norm="none")
    zeros = {name: fk.Features(torch.zeros(3, each.embed_dim)) for name, each in inputs.items()}
    head(zeros).sum().backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": 1.5}, "option factors takes a whole number of at least 1, got 1.5"),
        ({"width": True}, "option width takes a whole number of at least 1, got True"),
        ({"dropout": -0.1}, "option dropout takes the share"),
    ],
    ids=["factors", "width", "dropout"],
)
def test_options_that_are_wrong(options, message):
    with pytest.raises(fk.ConfigError, match=message):
        MFB(make_inputs(), num_classes=2, **options)
