"""What the references of the heads on vectors have in common, one number at a time."""

from __future__ import annotations

import math

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


def standardise(row, eps=1e-12):
    mean = sum(row) / len(row)
    variance = sum((value - mean) ** 2 for value in row) / len(row)
    return [(value - mean) / (variance + eps) ** 0.5 for value in row]


def linear(layer, row):
    return [
        sum(layer.weight[k, j] * row[j] for j in range(len(row))) + layer.bias[k]
        for k in range(layer.out_features)
    ]


def sigmoid(value):
    return 1 / (1 + (-value).exp())


def relu(value):
    return value if value > 0 else 0 * value


def tanh(value):
    return (value.exp() - (-value).exp()) / (value.exp() + (-value).exp())


def gelu(value):
    return value * (1 + torch.erf(value / math.sqrt(2))) / 2


ACTIVATE = {nn.ReLU: relu, nn.Tanh: tanh, nn.GELU: gelu}


def run(layers, row):
    """Gives what layers make of a row, without dropout."""
    for layer in layers:
        if isinstance(layer, nn.Linear):
            row = linear(layer, row)
        elif isinstance(layer, nn.LayerNorm):
            normed = zip(standardise(row, layer.eps), layer.weight, layer.bias, strict=True)
            row = [value * gain + offset for value, gain, offset in normed]
        elif not isinstance(layer, nn.Dropout):
            row = [ACTIVATE[type(layer)](value) for value in row]
    return row


def vectors_of(features, sample, norm):
    rows = {name: list(features[name].vector[sample]) for name in sorted(features)}
    return {name: standardise(row) if norm == "layer" else row for name, row in rows.items()}


def check(make, fuse, *, count, norm="layer", only=None, **options):
    """Compares a head in eval mode with ``fuse(head, vectors by branch)``, forward and gradient.

    Args:
        make: the head's class.
        fuse: gives the fused vector of one sample as a list of numbers.
        count: how many branches it is built for.
        norm: "layer" or "none".
        only: the branches that are present.
        options: of the head.
    """
    inputs = make_inputs(count)
    torch.manual_seed(0)
    head = make(inputs, num_classes=NUM_CLASSES, norm=norm, **options).double().eval()
    perturb(head)
    features = make_features(head, inputs, dtype=torch.float64, requires_grad=True)
    features = {name: each for name, each in features.items() if name in (only or inputs)}
    samples = range(len(leaves(features)[0]))
    fused = [fuse(head, vectors_of(features, sample, norm)) for sample in samples]
    expected = torch.stack([torch.stack(run(head.classifier, row)) for row in fused])
    assert_same_with_gradients(
        head(features), expected, [*leaves(features), *learning(head, expected, only)]
    )


def learning(head, expected, only):
    """Gives the parameters that the reference depends on: all, where no branch is absent."""
    parameters = list(head.parameters())
    found = torch.autograd.grad(expected.sum(), parameters, retain_graph=True, allow_unused=True)
    reached = [p for p, gradient in zip(parameters, found, strict=True) if gradient is not None]
    assert only is not None or len(reached) == len(parameters)
    return reached
