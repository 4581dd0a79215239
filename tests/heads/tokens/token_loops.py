"""Tokens, attention and transformer layers in loops over samples, queries and heads."""

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

TOY = {"width": 8, "heads": 2, "mlp_ratio": 1.5, "side": 2}
"""Small enough for loops: two heads of four components, and four tokens of a map."""

NARROW = {"width": 8, "heads": 2, "side": 2, "depth": 2}
"""The defaults in all but size: the kit builds a head hundreds of times."""


def linear(layer, row):
    return torch.stack(
        [(layer.weight[k] * row).sum() + layer.bias[k] for k in range(layer.out_features)]
    )


def layer_norm(layer, row):
    mean = sum(row) / len(row)
    variance = sum((value - mean) ** 2 for value in row) / len(row)
    return (row - mean) / (variance + 1e-5).sqrt() * layer.weight + layer.bias


def standardise(x):
    mean = sum(x.flatten()) / x.numel()
    variance = sum((value - mean) ** 2 for value in x.flatten()) / x.numel()
    return (x - mean) / (variance + 1e-12).sqrt()


def pool(x, side):
    """Averages "c h w" over bins that may share a row or column where they do not divide."""
    _, height, width = x.shape
    rows, columns = min(height, side), min(width, side)

    def bin_of(i, places, bins):
        return slice(i * places // bins, -(-(i + 1) * places // bins))

    pooled = x.new_zeros(len(x), rows, columns)
    for i in range(rows):
        for j in range(columns):
            piece = x[:, bin_of(i, height, rows), bin_of(j, width, columns)]
            pooled[:, i, j] = piece.sum((1, 2)) / piece[0].numel()
    return pooled


def position(i, j, height, width, channels):
    """Of the place in row i and column j, one number at a time."""
    quarter = channels // 4
    values = []
    for place, places in ((i, height), (j, width)):
        angle = 2 * math.pi * (place + 0.5) / places
        values += [math.sin(angle / 10_000 ** (k / quarter)) for k in range(quarter)]
        values += [math.cos(angle / 10_000 ** (k / quarter)) for k in range(quarter)]
    return torch.tensor(values, dtype=torch.float64)


def tokens_of(head, name, feature, sample, *, norm="layer", side=2, placed=True):
    """Gives the tokens of one branch and sample as a list of rows."""
    layer = head.tokens.blocks[name].linear
    if feature.vector is not None:
        row = feature.vector[sample]
        return [linear(layer, standardise(row) if norm == "layer" else row)]
    x = feature.maps[0][sample]
    x = pool(x, side) if side else x
    x = standardise(x) if norm == "layer" else x
    _, height, width = x.shape
    rows = []
    for i in range(height):
        for j in range(width):
            row = linear(layer, x[:, i, j])
            if placed:
                row = row + position(i, j, height, width, len(row))
            rows.append(row)
    return rows


def attend(module, queries, context):
    """One query, one head and one key at a time."""
    size = module.query.out_features // module.heads
    keys = [linear(module.key, row) for row in context]
    values = [linear(module.value, row) for row in context]
    answers = []
    for row in queries:
        query = linear(module.query, row)
        mixed = []
        for head in range(module.heads):
            own = slice(head * size, (head + 1) * size)
            weights = [((query[own] * key[own]).sum() / math.sqrt(size)).exp() for key in keys]
            total = sum(weights)
            mixed.append(
                sum(w / total * value[own] for w, value in zip(weights, values, strict=True))
            )
        answers.append(linear(module.out, torch.cat(mixed)))
    return answers


def gelu(x):
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def relu(x):
    return torch.where(x > 0, x, 0 * x)


def reglu(x):
    half = len(x) // 2
    return x[:half] * relu(x[half:])


def run_block(block, rows, context=None, *, activate=gelu, first_norm=True):
    """One layer, whose tokens attend to each other or to ``context``; to nothing if it is []."""
    context = rows if context is None else context

    def norm(row):
        return layer_norm(block.norm, row) if first_norm else row

    if context:
        learnt = attend(block.attention, [norm(r) for r in rows], [norm(r) for r in context])
        rows = [row + new for row, new in zip(rows, learnt, strict=True)]
    answers = []
    for row in rows:
        hidden = activate(linear(block.mlp.widen, layer_norm(block.mlp.norm, row)))
        answers.append(row + linear(block.mlp.narrow, hidden))
    return answers


def check(make, reference, count, *, present=None, seed=0, **options):
    """Compares a head with a reference for one sample, forward and backward."""
    inputs = make_inputs(count)
    torch.manual_seed(seed)
    head = make(inputs, num_classes=NUM_CLASSES, **{**TOY, **options}).double().eval()
    perturb(head)
    features = make_features(head, inputs, batch=2, dtype=torch.float64, requires_grad=True)
    if present is not None:
        features = {name: features[name] for name in present}
    expected = torch.stack([reference(head, features, sample) for sample in range(2)])
    actual = head(features)
    used = [value for value in head.parameters() if takes_part(actual, value)]
    if present is None:
        assert len(used) == len(list(head.parameters()))
    assert_same_with_gradients(actual, expected, [*leaves(features), *used])


def takes_part(answer, value):
    (gradient,) = torch.autograd.grad(answer.sum(), [value], retain_graph=True, allow_unused=True)
    return gradient is not None


def without(head, make, names, **options):
    """Gives a head built for some of the branches only, with the same weights."""
    inputs = {name: each for name, each in make_inputs(3).items() if name in names}
    other = make(inputs, num_classes=NUM_CLASSES, **options).to(next(head.parameters()).dtype)
    state = head.state_dict()
    other.load_state_dict({name: state[name] for name in other.state_dict()})
    return other.train(head.training)


def is_identity(module):
    return isinstance(module, nn.Identity)
