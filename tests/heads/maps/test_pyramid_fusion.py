"""The shared feature pyramid against loops in float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from map_loops import dense, nearest, pool, prepare, resized
from toy_features import (
    NUM_CLASSES,
    assert_same_with_gradients,
    leaves,
    make_features,
    make_inputs,
    perturb,
)

import fusionkit as fk
import fusionkit.testing as kit
from fusionkit.heads.maps.pyramid_fusion import PyramidFusion

SIZE = (32, 96)


def build(inputs, **options):
    head = PyramidFusion(inputs, num_classes=NUM_CLASSES, **{"width": 3, **options}).double()
    perturb(head)
    features = make_features(
        head, inputs, batch=2, dtype=torch.float64, requires_grad=True, image_size=SIZE
    )
    return head.eval(), features


def reference(head, inputs, features, norm="layer"):
    """Goes through the strides of the levels that are read, from coarse to fine."""
    read = {
        name: [inputs[name].levels[level] for level in reads.levels]
        for name, reads in head.reads.items()
    }
    strides = sorted({level.stride for levels in read.values() for level in levels})
    rows = []
    for sample in range(len(leaves(features)[0])):
        vectors, above = {}, None
        for stride in strides[::-1]:
            maps = []
            for name in sorted(features):
                for place, level in enumerate(read[name]):
                    if level.stride != stride:
                        continue
                    x = features[name].maps[place][sample]
                    maps.append(prepare(head.laterals[name][place], x, norm))
            if not maps:
                vectors[stride] = torch.zeros(head.width, dtype=torch.float64)
                continue
            size = max((x.shape[-2:] for x in maps), key=lambda each: each[0] * each[1])
            here = sum(resized(x, size) for x in maps)
            if above is not None:
                here = here + resized(above, here.shape[-2:], nearest)
            vectors[stride] = pool(head.pools[str(stride)], here)
            above = here
        rows.append(dense(head.classifier[-1], torch.cat([vectors[s] for s in strides])))
    return torch.stack(rows)


@pytest.mark.parametrize(
    "options",
    [{}, {"norm": "none"}, {"levels": [-1]}, {"levels": {"image": [0, 1], "audio": "all"}}],
    ids=str,
)
@pytest.mark.parametrize("count", [2, 3])
def test_equals_the_pyramid_in_loops(count, options):
    inputs = make_inputs(count)
    head, features = build(inputs, **options)
    expected = reference(head, inputs, features, options.get("norm", "layer"))
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(head(features), expected, wanted)


def test_one_branch_is_the_papers_pyramid():
    inputs = make_inputs(1)
    head, features = build(inputs)
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(head(features), reference(head, inputs, features), wanted)


def test_several_levels_of_one_stride_and_maps_of_other_sizes_are_added_up():
    twin = (fk.Level(2, 16), fk.Level(3, 16))
    inputs = {"a": fk.HeadInput(4, twin), "b": fk.HeadInput(4, (fk.Level(2, 16),))}
    head, _ = build(inputs, levels="all")
    features = {
        "a": fk.Features(maps=(_draw(2, 3, 4), _draw(3, 3, 4))),
        "b": fk.Features(maps=(_draw(2, 7, 2),)),
    }
    torch.testing.assert_close(head(features), reference(head, inputs, features))


def _draw(channels, height, width):
    generator = torch.Generator().manual_seed(channels + height)
    return torch.randn(2, channels, height, width, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("present", [("audio",), ("image",), ("audio", "text")], ids=str)
def test_an_absent_branch_is_left_out_and_a_stride_without_maps_is_passed_over(present):
    inputs = make_inputs(3)
    head, features = build(inputs)
    some = {name: features[name] for name in present}
    torch.testing.assert_close(head(some), reference(head, inputs, some))


def test_stages_are_the_deepest_level_of_each_stride_from_four_on():
    levels = [fk.Level(2, stride) for stride in (2, 4, 4, 8)]
    inputs = {
        "deep": fk.HeadInput(4, tuple(levels)),
        "fine": fk.HeadInput(4, (fk.Level(2, 1), fk.Level(2, 2))),
        "flat": fk.HeadInput(4, (fk.Level(2, 16),) * 12),
    }
    head = PyramidFusion(inputs, num_classes=3, width=2)
    assert {name: reads.levels for name, reads in head.reads.items()} == {
        "deep": (2, 3),
        "fine": (1,),
        "flat": (11,),
    }
    assert head.strides == [2, 4, 8, 16]
    assert "stride 4: deep" in repr(head)
    every = PyramidFusion(inputs, num_classes=3, width=2, levels="all")
    assert [len(reads.levels) for reads in every.reads.values()] == [4, 2, 12]


@pytest.mark.parametrize(
    ("levels", "error", "message"),
    [
        ("stage", fk.ConfigError, "option levels is 'stages', 'all' or a list of levels"),
        ([], fk.ConfigError, r"got \[\] for branch 'audio'"),
        ({"image": 1}, fk.ConfigError, "got 1 for branch 'image'"),
        ({"image": [True]}, fk.ConfigError, "option levels takes a whole number"),
        ([2], fk.AssemblyError, "has no level 2: it has 2 levels of maps, so levels is -2 to 1"),
    ],
)
def test_bad_levels_are_refused(levels, error, message):
    with pytest.raises(error, match=message):
        PyramidFusion(make_inputs(2), num_classes=3, levels=levels)


@pytest.mark.parametrize(
    "options",
    [{"width": 8}, {"width": 5, "levels": "all", "norm": "none"}, {"width": 6, "dropout": 0.25}],
    ids=str,
)
def test_it_is_a_good_head(options):
    kit.check_head(partial(PyramidFusion, **options))


def test_compilers_take_it():
    report = kit.check_head(partial(PyramidFusion, width=8), only=["compiles", "exports"])
    assert report["compiles"].status == report["exports"].status == "passed"
