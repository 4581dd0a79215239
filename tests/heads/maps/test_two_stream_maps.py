"""Fusion of maps against loops in float64, at levels of different widths and sizes."""

from __future__ import annotations

import pytest
import torch
from map_loops import dense, pointwise, pool, prepare
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


def fuse(kind, part, maps):
    if kind == "sum":
        return sum(maps)
    if kind == "max":
        best = maps[0]
        for other in maps[1:]:
            best = torch.where(other > best, other, best)
        return best
    stacked = torch.stack([plane for x in maps for plane in x])
    return pointwise(part.fusion.conv, stacked) if kind == "conv" else stacked


def reference(kind, head, features, norm):
    rows = []
    for sample in range(len(leaves(features)[0])):
        vectors = []
        for part in head.levels:
            maps = {}
            for name in sorted(features):
                place = sorted({each.levels[name] for each in head.levels}).index(part.levels[name])
                maps[name] = features[name].maps[place][sample]
            size = max(tuple(x.shape[-2:]) for x in maps.values())
            fused = fuse(
                kind,
                part,
                [prepare(part.maps.blocks[name], x, norm, size) for name, x in maps.items()],
            )
            vectors += pool(part.pool, fused)
        rows.append(dense(head.classifier[-1], torch.stack(vectors)))
    return torch.stack(rows)


def check(kind, inputs, norm="layer", **options):
    head = TwoStreamMaps(
        inputs, num_classes=NUM_CLASSES, fusion=kind, norm=norm, **{"hidden": 3, **options}
    ).double()
    perturb(head)
    features = make_features(
        head, inputs, batch=2, dtype=torch.float64, requires_grad=True, image_size=(32, 80)
    )
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(head(features), reference(kind, head, features, norm), wanted)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("kind", FUSIONS)
def test_equals_the_formula_in_loops(kind, count):
    check(kind, make_inputs(count))


@pytest.mark.parametrize("kind", FUSIONS)
@pytest.mark.parametrize(
    "options",
    [
        {"norm": "none", "hidden": None},
        {"width": 4},
        {"level": {"text": 0}, "norm": "none"},
        {"level": [-1, 0]},
        {"level": {"audio": [0, 1, 1], "image": [-1, 1, 0], "text": [0, 0, 1]}, "hidden": None},
    ],
    ids=str,
)
def test_each_option_equals_the_formula_in_loops(kind, options):
    check(kind, make_inputs(3), **options)
    if "level" not in options:
        check(kind, make_inputs(2), **options)


@pytest.mark.parametrize("kind", FUSIONS)
def test_equal_widths_and_sizes_need_no_adaptation(kind):
    inputs = make_inputs(3, channels=5, stride=32)
    check(kind, inputs)
    head = TwoStreamMaps(inputs, num_classes=NUM_CLASSES, fusion=kind)
    assert not any(".maps." in name for name, _ in head.named_parameters())


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
    assert head.reads == {"audio": fk.Reads(maps=(0,)), "image": fk.Reads(maps=(1,))}


def test_several_levels_are_read_once_each():
    head = TwoStreamMaps(make_inputs(2), num_classes=3, level={"audio": [-1, 1], "image": [1, 0]})
    assert head.reads == {"audio": fk.Reads(maps=(1,)), "image": fk.Reads(maps=(0, 1))}


@pytest.mark.parametrize(
    "level", [[], {"audio": [0, 1]}, {"audio": [0], "image": [0, 1]}], ids=["none", "one", "uneven"]
)
def test_uneven_lists_of_levels_are_refused(level):
    with pytest.raises(fk.ConfigError, match="as many levels for each stream") as told:
        TwoStreamMaps(make_inputs(2), num_classes=3, level=level)
    assert "'audio': [0, -1]" in str(told.value)


@pytest.mark.parametrize("kind", FUSIONS)
def test_an_absent_stream_is_left_out_or_zeros(kind):
    inputs = make_inputs(3)
    head = TwoStreamMaps(inputs, num_classes=3, fusion=kind, level=[0, -1], hidden=3).double()
    perturb(head)
    features = make_features(head, inputs, dtype=torch.float64)
    present = {name: features[name] for name in ("audio", "text")}
    vectors = []
    for place, part in enumerate(head.levels):
        here = {n: fk.Features(maps=(f.maps[place],)) for n, f in present.items()}
        maps = part.maps(here)
        like = maps["audio"]
        if kind in ("concat", "conv"):
            width = part.maps.widths[1]
            maps = {**maps, "image": like.new_zeros(len(like), width, *like.shape[-2:])}
        counted = [maps[name] for name in sorted(maps)]
        fused = torch.stack([fuse(kind, part, [x[i] for x in counted]) for i in range(len(like))])
        vectors.append(part.pool(fused))
    torch.testing.assert_close(head(present), head.classifier(torch.cat(vectors, 1)))


def test_inputs_of_different_sizes_meet_at_the_size_of_the_finest():
    inputs = make_inputs(2, channels=3, stride=16)
    head = TwoStreamMaps(inputs, num_classes=3).eval()
    maps = {
        "audio": fk.Features(maps=(torch.randn(2, 3, 7, 5),)),
        "image": fk.Features(maps=(torch.randn(2, 3, 4, 8),)),
    }
    assert [tuple(x.shape) for x in head.levels[0].maps(maps).values()] == [
        (2, 3, 7, 5),
        (2, 3, 7, 5),
    ]
    assert head(maps).shape == (2, 3)
    height, width = (side // LEVELS["image"][-1].stride for side in IMAGE_SIZE)
    other = TwoStreamMaps(make_inputs(2), num_classes=3)
    features = make_features(other, make_inputs(2))
    assert {tuple(x.shape[-2:]) for x in other.levels[0].maps(features).values()} == {
        (height, width)
    }


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
    assert "fuses audio at level 0 (7 channels), image at level 1 (7 channels)" in repr(head)
    assert "SumFusion()" in repr(head)
