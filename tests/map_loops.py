"""Operators on one sample's maps "c h w", written in loops from their definitions."""

from __future__ import annotations

import torch


def bilinear(plane, height, width):
    """Interpolates "h w" to another size with the sample points of pixel centres."""
    rows, columns = plane.shape
    if (rows, columns) == (height, width):
        return plane
    result = []
    for i in range(height):
        y = min(max((i + 0.5) * rows / height - 0.5, 0), rows - 1)
        y0 = int(y)
        y1, fy = min(y0 + 1, rows - 1), y - int(y)
        line = []
        for j in range(width):
            x = min(max((j + 0.5) * columns / width - 0.5, 0), columns - 1)
            x0 = int(x)
            x1, fx = min(x0 + 1, columns - 1), x - int(x)
            top = plane[y0, x0] * (1 - fx) + plane[y0, x1] * fx
            bottom = plane[y1, x0] * (1 - fx) + plane[y1, x1] * fx
            line.append(top * (1 - fy) + bottom * fy)
        result.append(torch.stack(line))
    return torch.stack(result)


def nearest(plane, height, width):
    """Repeats the pixels of "h w" to another size."""
    rows, columns = plane.shape
    lines = [
        torch.stack([plane[i * rows // height, j * columns // width] for j in range(width)])
        for i in range(height)
    ]
    return torch.stack(lines)


def resized(x, size, how=bilinear):
    return torch.stack([how(plane, *size) for plane in x])


def standardise(x, eps=1e-12):
    """Over all of "c h w" or of "d", as one bag of numbers."""
    mean = sum(x.flatten()) / x.numel()
    variance = sum((value - mean) ** 2 for value in x.flatten()) / x.numel()
    return (x - mean) / (variance + eps).sqrt()


def pointwise(layer, x):
    """A 1x1 convolution of "c h w"."""
    weight = layer.weight[:, :, 0, 0]
    planes = []
    for o in range(len(weight)):
        plane = sum(weight[o, c] * x[c] for c in range(len(x)))
        planes.append(plane if layer.bias is None else plane + layer.bias[o])
    return torch.stack(planes)


def convolve(layer, x):
    """A 3x3 convolution with a border of zeros, as nine shifted 1x1 convolutions."""
    _, height, width = x.shape
    planes = []
    for o in range(layer.out_channels):
        plane = layer.bias[o] + torch.zeros(height, width, dtype=x.dtype)
        for c in range(layer.in_channels):
            padded = torch.zeros(height + 2, width + 2, dtype=x.dtype)
            padded[1:-1, 1:-1] = x[c]
            for i in range(3):
                for j in range(3):
                    shifted = padded[i : i + height, j : j + width]
                    plane = plane + layer.weight[o, c, i, j] * shifted
        planes.append(plane)
    return torch.stack(planes)


def relu(x):
    return torch.where(x > 0, x, 0 * x)


def logistic(x):
    return 1 / (1 + (-x).exp())


def pooled(x):
    """The mean of each channel of "c h w"."""
    return torch.stack([sum(plane.flatten()) / plane.numel() for plane in x])


def dense(layer, x):
    """A linear layer on "d"."""
    rows = [sum(row[i] * x[i] for i in range(len(x))) for row in layer.weight]
    return torch.stack([row + bias for row, bias in zip(rows, layer.bias, strict=True)])


def prepare(block, x, norm, size=None):
    """What one branch's map passes before it meets the others."""
    x = standardise(x) if norm == "layer" else x
    x = pointwise(block.conv, x) if hasattr(block, "conv") else x
    return x if size is None else resized(x, size)


def pool(module, x):
    """``MapPool`` of "c h w"."""
    return pooled(x if module.conv is None else relu(convolve(module.conv, x)))
