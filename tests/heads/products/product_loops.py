"""The operators that multiply branches, one sample and one number at a time."""

from __future__ import annotations

from itertools import product

import torch
from toy_features import (
    NUM_CLASSES,
    assert_same_with_gradients,
    leaves,
    make_features,
    make_inputs,
    perturb,
)


def check_against_loops(factory, count, reference, batch=2, **options):
    """Compares a perturbed head in float64 with ``reference(head, vectors)``, sample by sample.

    ``reference`` gives the logits of one sample as a list; ``vectors`` is a list of numbers for
    each branch in alphabetical order, normalised already where ``norm`` is "layer".
    """
    inputs = make_inputs(count)
    torch.manual_seed(0)
    head = factory(inputs, num_classes=NUM_CLASSES, **options).double().eval()
    perturb(head)
    features = make_features(head, inputs, batch=batch, dtype=torch.float64, requires_grad=True)
    kind = options.get("norm", "layer")
    rows = []
    for sample in range(batch):
        vectors = [
            standardise(list(features[name].vector[sample]))
            if kind == "layer"
            else list(features[name].vector[sample])
            for name in sorted(features)
        ]
        rows.append(torch.stack(reference(head, vectors)))
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(head(features), torch.stack(rows), wanted)


def standardise(row):
    mean = sum(row) / len(row)
    variance = sum((value - mean) ** 2 for value in row) / len(row)
    return [(value - mean) / (variance + 1e-12).sqrt() for value in row]


def linear(layer, row):
    return [
        sum(layer.weight[k, j] * row[j] for j in range(len(row))) + layer.bias[k]
        for k in range(layer.weight.shape[0])
    ]


def tanh(row):
    return [(x.exp() - (-x).exp()) / (x.exp() + (-x).exp()) for x in row]


def power_normalise(row):
    """Where a number is exactly zero the root has no slope, and none is taken."""
    roots = []
    for x in row:
        value = float(x.detach())
        roots.append(x.sqrt() if value > 0 else -(-x).sqrt() if value < 0 else 0 * x)
    length = sum(root**2 for root in roots).sqrt()
    return [root / length for root in roots]


def multiply(numbers):
    result = numbers[0]
    for number in numbers[1:]:
        result = result * number
    return result


def sum_of_products(part, vectors):
    """Σ_r Π_i (W_{i,r} x_i + b_{i,r}); row o * terms + r of a weight makes term r of output o."""
    width, terms = part.shape
    factors = [linear(part.factors[name], x) for name, x in zip(part.factors, vectors, strict=True)]
    return [
        sum(multiply([factor[o * terms + r] for factor in factors]) for r in range(terms))
        for o in range(width)
    ]


def outer(vectors):
    """All products of one component of each, the last branch's running fastest."""
    return [multiply(list(chosen)) for chosen in product(*vectors)]
