"""Concatenation against loops in float64, and branches of very different scale."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from toy_features import (
    NUM_CLASSES,
    assert_same_with_gradients,
    leaves,
    make_features,
    make_inputs,
    perturb,
)

import fusionkit as fk
from fusionkit.heads.vectors.concat import Concat

ACTIVATE = {
    "relu": lambda x: x if x > 0 else 0 * x,
    "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
    "silu": lambda x: x / (1 + (-x).exp()),
    "tanh": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
}


def normalise(kind, columns, sample):
    row = columns[sample]
    if kind == "none":
        return row
    if kind == "l2":
        length = sum(value**2 for value in row).sqrt()
        return [value / length for value in row]
    if kind == "layer":
        mean = sum(row) / len(row)
        variance = sum((value - mean) ** 2 for value in row) / len(row)
        return [(value - mean) / (variance + 1e-12).sqrt() for value in row]
    normed = []
    for j, value in enumerate(row):
        column = [other[j] for other in columns]
        mean = sum(column) / len(column)
        variance = sum((other - mean) ** 2 for other in column) / len(column)
        normed.append((value - mean) / (variance + 1e-5).sqrt())
    return normed


def linear(layer, row):
    return [
        sum(layer.weight[k, j] * row[j] for j in range(len(row))) + layer.bias[k]
        for k in range(layer.out_features)
    ]


def reference(head, features, norm, activation="relu"):
    """One sample and one number at a time."""
    outputs = []
    for sample in range(len(leaves(features)[0])):
        joined = []
        for name in sorted(features):
            columns = [list(row) for row in features[name].vector]
            row = normalise(norm, columns, sample)
            for layer in head.vectors.blocks[name]:
                if isinstance(layer, nn.Linear):
                    row = linear(layer, row)
            joined += row
        layers = [layer for layer in head.classifier if isinstance(layer, nn.Linear)]
        for layer in layers[:-1]:
            joined = [ACTIVATE[activation](value) for value in linear(layer, joined)]
        outputs.append(torch.stack(linear(layers[-1], joined)))
    return torch.stack(outputs)


def check(count, norm, **options):
    inputs = make_inputs(count)
    head = Concat(inputs, num_classes=NUM_CLASSES, norm=norm, **options).double()
    perturb(head)
    features = make_features(head, inputs, dtype=torch.float64, requires_grad=True)
    wanted = [*leaves(features), *head.parameters()]
    expected = reference(head, features, norm, options.get("activation", "relu"))
    assert_same_with_gradients(head(features), expected, wanted)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("norm", ["layer", "batch", "l2", "none"])
@pytest.mark.parametrize("options", [{}, {"project": 4}, {"hidden": [6, 3]}], ids=str)
def test_equals_the_formula_in_loops(count, norm, options):
    check(count, norm, **options)


@pytest.mark.parametrize("activation", sorted(ACTIVATE))
def test_each_activation_is_what_its_name_says(activation):
    check(2, "layer", hidden=5, project=4, activation=activation)


def test_without_norm_and_hidden_layers_it_is_one_linear_layer():
    inputs = make_inputs()
    head = Concat(inputs, num_classes=NUM_CLASSES, norm="none")
    linear = nn.Linear(5 + 7 + 3, NUM_CLASSES)
    with torch.no_grad():
        for mine, plain in zip(head.parameters(), linear.parameters(), strict=True):
            mine.copy_(plain)
    features = make_features(head, inputs)
    joined = torch.cat([features[name].vector for name in ("audio", "image", "text")], dim=1)
    assert torch.equal(head(features), linear(joined))


def outcome_and_sensitivity(norm, scale, hidden=None):
    """The output in float32, and its gradient with respect to the branch that is not scaled."""
    inputs = make_inputs(2)
    torch.manual_seed(0)
    head = Concat(inputs, num_classes=NUM_CLASSES, norm=norm, hidden=hidden)
    features = make_features(head, inputs, batch=8, requires_grad=True)
    loud = fk.Features(vector=features["audio"].vector * scale)
    output = head({"audio": loud, "image": features["image"]})
    cotangent = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(output, features["image"].vector, cotangent)
    return output, gradient


@pytest.mark.parametrize("scale", [1e3, 1e-3])
@pytest.mark.parametrize("norm", ["layer", "l2"])
@pytest.mark.parametrize("hidden", [None, 16])
def test_a_branch_of_another_scale_does_not_change_what_the_other_contributes(norm, scale, hidden):
    expected = outcome_and_sensitivity(norm, 1.0, hidden)
    actual = outcome_and_sensitivity(norm, scale, hidden)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_batch_norm_takes_out_a_large_scale_and_bounds_a_small_one():
    expected = outcome_and_sensitivity("batch", 1.0, 16)
    torch.testing.assert_close(
        outcome_and_sensitivity("batch", 1e3, 16), expected, rtol=1e-3, atol=1e-4
    )
    small, _ = outcome_and_sensitivity("batch", 1e-3, 16)
    assert not torch.allclose(small, expected[0], rtol=1e-2)


def test_without_norm_a_loud_branch_would_drown_the_other():
    expected, gradient = outcome_and_sensitivity("none", 1.0, 16)
    output, other = outcome_and_sensitivity("none", 1e3, 16)
    assert output.abs().mean() > 50 * expected.abs().mean()
    assert not torch.allclose(other, gradient, rtol=1e-2)


def test_scale_in_half_precision_is_taken_out_too():
    inputs = make_inputs(2)
    head = Concat(inputs, num_classes=NUM_CLASSES).half()
    features = make_features(head, inputs, dtype=torch.float16)
    for scale in (1024, 1 / 1024):
        loud = fk.Features(vector=features["audio"].vector * scale)
        scaled = head({"audio": loud, "image": features["image"]})
        torch.testing.assert_close(scaled, head(features), rtol=2e-2, atol=2e-2)


def test_both_branches_learn_where_one_is_a_thousand_times_louder():
    torch.manual_seed(0)
    labels = torch.arange(80) % 2
    inputs = {"faint": fk.HeadInput(embed_dim=4), "loud": fk.HeadInput(embed_dim=16)}
    signal = torch.randn(80, 4) + 3 * torch.eye(4)[labels]
    features = {
        "faint": fk.Features(vector=1e-3 * signal),
        "loud": fk.Features(vector=1e3 * torch.randn(80, 16)),
    }

    def learn(norm):
        torch.manual_seed(0)
        head = Concat(inputs, num_classes=2, norm=norm)
        optimizer = torch.optim.AdamW(head.parameters(), lr=0.05)
        for _ in range(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(features), labels).backward()
            optimizer.step()
        ablated = {**features, "loud": fk.Features(vector=1e3 * torch.randn(80, 16))}
        return (head(ablated).argmax(1) == labels).float().mean()

    assert learn("layer") > 0.75
    assert learn("none") < 0.65


def test_the_repr_says_what_is_concatenated():
    head = Concat(make_inputs(2), num_classes=3, project={"audio": 9}, hidden=8)
    assert "concatenates audio (9), image (7)" in repr(head)
    assert "in_features=16, out_features=8" in repr(head)
