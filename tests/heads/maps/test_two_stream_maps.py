"""Fusion of maps against loops in float64, at levels of different widths and sizes."""

from __future__ import annotations

import pytest
import torch
from toy_features import (
    IMAGE_SIZE,
    LEVELS,
    NUM_CLASSES,
    assert_same_with_gradients,
    leaves,
    make_features,
    make_inputs,
    perturb,
)

import fusionkit as fk
from fusionkit.heads.maps.two_stream_maps import TwoStreamMaps

FUSIONS = ("sum", "max", "concat", "conv")


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


def standardise(x):
    """Over "c h w", as one bag of numbers."""
    mean = sum(x.flatten()) / x.numel()
    variance = sum((value - mean) ** 2 for value in x.flatten()) / x.numel()
    return (x - mean) / (variance + 1e-12).sqrt()


def pointwise(layer, x):
    weight, bias = layer.weight[:, :, 0, 0], layer.bias
    planes = [sum(weight[o, c] * x[c] for c in range(len(x))) + bias[o] for o in range(len(weight))]
    return torch.stack(planes)


def fuse(kind, head, maps):
    if kind == "sum":
        return sum(maps)
    if kind == "max":
        best = maps[0]
        for other in maps[1:]:
            best = torch.where(other > best, other, best)
        return best
    stacked = torch.stack([plane for x in maps for plane in x])
    return pointwise(head.fusion.conv, stacked) if kind == "conv" else stacked


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


def reference(kind, head, features, norm):
    names = sorted(features)
    size = max(tuple(features[name].maps[0].shape[-2:]) for name in names)
    rows = []
    for sample in range(len(leaves(features)[0])):
        maps = []
        for name in names:
            x = features[name].maps[0][sample]
            x = standardise(x) if norm == "layer" else x
            block = head.maps.blocks[name]
            x = pointwise(block.conv, x) if hasattr(block, "conv") else x
            maps.append(torch.stack([bilinear(plane, *size) for plane in x]))
        fused = fuse(kind, head, maps)
        if hasattr(head.classifier, "conv"):
            fused = convolve(head.classifier.conv, fused)
            fused = torch.where(fused > 0, fused, 0 * fused)
        pooled = [sum(plane.flatten()) / plane.numel() for plane in fused]
        layer = head.classifier.linear
        rows.append(
            torch.stack(
                [
                    sum(layer.weight[k, c] * pooled[c] for c in range(len(pooled))) + layer.bias[k]
                    for k in range(NUM_CLASSES)
                ]
            )
        )
    return torch.stack(rows)


def check(kind, inputs, norm="layer", **options):
    head = TwoStreamMaps(
        inputs, num_classes=NUM_CLASSES, fusion=kind, norm=norm, **{"hidden": 3, **options}
    ).double()
    perturb(head)
    features = make_features(head, inputs, batch=2, dtype=torch.float64, requires_grad=True)
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(head(features), reference(kind, head, features, norm), wanted)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("kind", FUSIONS)
def test_equals_the_formula_in_loops(kind, count):
    check(kind, make_inputs(count))


@pytest.mark.parametrize("kind", FUSIONS)
@pytest.mark.parametrize(
    "options",
    [{"norm": "none", "hidden": None}, {"width": 4}, {"level": {"text": 0}, "norm": "none"}],
    ids=str,
)
def test_each_option_equals_the_formula_in_loops(kind, options):
    check(kind, make_inputs(2), **{**options, "level": -1})
    check(kind, make_inputs(3), **options)


@pytest.mark.parametrize("kind", FUSIONS)
def test_equal_widths_and_sizes_need_no_adaptation(kind):
    inputs = make_inputs(3, channels=5, stride=32)
    check(kind, inputs)
    head = TwoStreamMaps(inputs, num_classes=NUM_CLASSES, fusion=kind)
    assert not any("maps." in name for name, _ in head.named_parameters())


def test_conv_fusion_starts_as_the_sum():
    inputs = make_inputs(3, channels=5)
    options = {"num_classes": NUM_CLASSES, "hidden": None}
    conv = TwoStreamMaps(inputs, fusion="conv", **options)
    plain = TwoStreamMaps(inputs, fusion="sum", **options)
    plain.classifier.load_state_dict(conv.classifier.state_dict())
    features = make_features(conv, inputs)
    torch.testing.assert_close(conv(features), plain(features))


@pytest.mark.parametrize("kind", FUSIONS)
@pytest.mark.parametrize("scale", [1e3, 1e-3])
def test_a_loud_stream_does_not_drown_the_other(kind, scale):
    inputs = make_inputs(2)
    torch.manual_seed(0)
    head = TwoStreamMaps(inputs, num_classes=NUM_CLASSES, fusion=kind)
    features = make_features(head, inputs)
    loud = {**features, "audio": fk.Features(maps=(features["audio"].maps[0] * scale,))}
    torch.testing.assert_close(head(loud), head(features), rtol=1e-3, atol=1e-4)
    bare = TwoStreamMaps(inputs, num_classes=NUM_CLASSES, fusion=kind, norm="none")
    assert not torch.allclose(bare(loud), bare(features), rtol=0.05, atol=0.05)


def test_only_the_chosen_level_is_read():
    head = TwoStreamMaps(make_inputs(2), num_classes=3, level={"audio": 0})
    assert head.reads == {"audio": fk.Reads(maps=(0,)), "image": fk.Reads(maps=(-1,))}


def test_inputs_of_different_sizes_meet_at_the_size_of_the_finest():
    inputs = make_inputs(2, channels=3, stride=16)
    head = TwoStreamMaps(inputs, num_classes=3).eval()
    maps = {
        "audio": fk.Features(maps=(torch.randn(2, 3, 7, 5),)),
        "image": fk.Features(maps=(torch.randn(2, 3, 4, 9),)),
    }
    assert [tuple(x.shape) for x in head.maps(maps).values()] == [(2, 3, 7, 5), (2, 3, 7, 5)]
    assert head(maps).shape == (2, 3)
    height, width = (side // LEVELS["image"][-1].stride for side in IMAGE_SIZE)
    other = TwoStreamMaps(make_inputs(2), num_classes=3)
    features = make_features(other, make_inputs(2))
    assert {tuple(x.shape[-2:]) for x in other.maps(features).values()} == {(height, width)}


def test_maps_of_one_place_work():
    inputs = make_inputs(2)
    head = TwoStreamMaps(inputs, num_classes=3)
    maps = {
        "audio": fk.Features(maps=(torch.randn(1, 5, 1, 1),)),
        "image": fk.Features(maps=(torch.randn(1, 7, 1, 1),)),
    }
    assert head.train()(maps).isfinite().all()


def test_the_repr_says_what_is_fused():
    head = TwoStreamMaps(make_inputs(2), num_classes=3, fusion="sum", level={"audio": 0})
    assert "fuses audio at level 0 (7 channels), image at level -1 (7 channels)" in repr(head)
    assert "SumFusion()" in repr(head)
