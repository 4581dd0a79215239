"""Fusion step by step against loops in float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from map_loops import dense, logistic, pooled, relu, standardise
from toy_features import (
    LEVELS,
    NUM_CLASSES,
    assert_same_with_gradients,
    leaves,
    make_features,
    make_inputs,
    perturb,
)

import fusionkit as fk
import fusionkit.testing as kit
from fusionkit.heads.maps.multi_level_fusion import MultiLevelFusion

SIZE = (32, 96)


def build(count, **options):
    inputs = make_inputs(count)
    head = MultiLevelFusion(inputs, num_classes=NUM_CLASSES, **{"width": 5, **options}).double()
    perturb(head)
    features = make_features(
        head, inputs, batch=2, dtype=torch.float64, requires_grad=True, image_size=SIZE
    )
    return head.eval(), features


def leaky(x):
    return torch.where(x > 0, x, 0.01 * x)


def reference(head, features, steps, activations, norm="layer"):
    """Goes through ``steps``, lists of (branch, level), as they are written in the test."""
    rows = []
    for sample in range(len(leaves(features)[0])):
        h = []
        for step, layer, activation in zip(steps, head.layers, activations, strict=True):
            joined = []
            for name, level in step:
                if name not in features:
                    joined += torch.zeros(LEVELS[name][level].channels).double()
                    continue
                place = head.reads[name].levels.index(level)
                x = pooled(features[name].maps[place][sample])
                joined += standardise(x) if norm == "layer" else x
            h = list(activation(dense(layer, [*joined, *h])))
        rows.append(dense(head.classifier, h))
    return torch.stack(rows)


BOTH = [[("audio", 0), ("image", 0)], [("audio", 1), ("image", 1)]]
CASES = [
    (2, {}, BOTH, [relu, relu]),
    (2, {"norm": "none", "activation": "sigmoid"}, BOTH, [logistic, logistic]),
    (2, {"activation": ["leaky_relu", "tanh"]}, BOTH, [leaky, torch.tanh]),
    (2, {"steps": 1}, BOTH[1:], [relu]),
    (1, {}, [[("audio", 0)], [("audio", 1)]], [relu, relu]),
    (3, {}, [[(n, i) for n in ("audio", "image", "text")] for i in (0, 1)], [relu, relu]),
    (
        3,
        {"steps": [{"text": 1, "audio": -1}, {"image": 0}, {"audio": 1, "image": -1}]},
        [[("audio", 1), ("text", 1)], [("image", 0)], [("audio", 1), ("image", 1)]],
        [relu, relu, relu],
    ),
]
IDS = [f"{count} branches-{options}" for count, options, *_ in CASES]


@pytest.mark.parametrize(("count", "options", "steps", "activations"), CASES, ids=IDS)
def test_equals_the_formula_in_loops(count, options, steps, activations):
    head, features = build(count, **options)
    norm = options.get("norm", "layer")
    expected = reference(head, features, steps, activations, norm)
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(head(features), expected, wanted)


@pytest.mark.parametrize("present", [("image",), ("audio", "text")], ids=str)
@pytest.mark.parametrize("case", [5, 6], ids=["default", "some"])
def test_an_absent_branch_is_zeros(case, present):
    count, options, steps, activations = CASES[case]
    head, features = build(count, **options)
    some = {name: features[name] for name in present}
    expected = reference(head, some, steps, activations)
    torch.testing.assert_close(head(some), expected)


@pytest.mark.parametrize(
    ("counts", "steps", "expected"),
    [
        ((5, 12), 4, [(1, 2), (2, 5), (3, 8), (4, 11)]),
        ((4, 1), 4, [(0, 0), (1, 0), (2, 0), (3, 0)]),
        ((4, 2), 4, [(0, 0), (1, 0), (2, 1), (3, 1)]),
        ((2, 3), 4, [(0, 0), (1, 1), (1, 2)]),
        ((1, 1), 4, [(0, 0)]),
        ((3, 4), 2, [(1, 1), (2, 3)]),
    ],
)
def test_levels_are_matched_from_fine_to_coarse(counts, steps, expected):
    inputs = {
        name: fk.HeadInput(3, (fk.Level(4, 8),) * count)
        for name, count in zip("ab", counts, strict=True)
    }
    head = MultiLevelFusion(inputs, num_classes=2, steps=steps)
    assert [tuple(step.values()) for step in head.levels] == expected
    assert f"step 0: a at level {expected[0][0]}, b at level {expected[0][1]}" in repr(head)


@pytest.mark.parametrize("norm", ["layer", "l2", "batch"])
def test_a_loud_branch_does_not_drown_the_other(norm):
    head, features = build(2, norm=norm)
    if norm == "batch":
        head.train()
    loud = {**features, "audio": fk.Features(maps=tuple(100 * x for x in features["audio"].maps))}
    torch.testing.assert_close(head(loud), head(features), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"steps": 0}, fk.ConfigError, "option steps takes a whole number of at least 1"),
        ({"steps": []}, fk.ConfigError, r"or a list with a level for each branch.*'audio': 0"),
        ({"steps": [{}]}, fk.ConfigError, "option steps is a number, or a list"),
        ({"steps": [{"audio": 0}]}, fk.ConfigError, "option steps never joins 'image'"),
        ({"steps": [{"audoi": 0}]}, fk.ConfigError, "there is no branch 'audoi'"),
        ({"steps": [{"audio": 0, "image": 2}]}, fk.AssemblyError, "'image' has no level 2"),
        ({"steps": [{"audio": 0.5, "image": 0}]}, fk.ConfigError, "option steps takes a whole"),
        ({"activation": "swish"}, fk.ConfigError, "option activation is 'relu'"),
        ({"activation": ["relu"]}, fk.ConfigError, "option activation has 1 for 2 steps"),
        ({"width": 0}, fk.ConfigError, "option width takes a whole number"),
        ({"norm": "group"}, fk.ConfigError, "option norm is 'layer', 'batch', 'l2' or 'none'"),
    ],
    ids=str,
)
def test_bad_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        MultiLevelFusion(make_inputs(2), num_classes=3, **options)


def test_a_branch_without_maps_is_refused():
    inputs = {**make_inputs(1), "text": fk.HeadInput(3)}
    with pytest.raises(fk.AssemblyError, match="branch 'text' has no maps"):
        MultiLevelFusion(inputs, num_classes=3)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"steps": 2, "activation": ["sigmoid", "leaky_relu"], "norm": "batch", "dropout": 0.25},
        {"norm": "none", "width": 5},
    ],
    ids=str,
)
def test_it_is_a_good_head(options):
    kit.check_head(partial(MultiLevelFusion, **options))


def test_it_is_a_good_head_with_steps_by_name():
    levels = (fk.Level(4, 8), fk.Level(6, 16))
    kit.check_head(
        partial(MultiLevelFusion, steps=[{"flow": 0}, {"flow": -1, "rgb": -1}]),
        branches={"flow": fk.HeadInput(6, levels), "rgb": fk.HeadInput(6, levels)},
    )


def test_compilers_take_it():
    report = kit.check_head(MultiLevelFusion, only=["compiles", "exports"])
    assert report["compiles"].status == report["exports"].status == "passed"
