"""The multimodal transfer module against loops in float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from map_loops import dense, logistic, pool, pooled, prepare, relu
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
from fusionkit.heads.maps.mmtm import MMTM

SIZE = (32, 96)


def build(count, **options):
    inputs = make_inputs(count)
    head = MMTM(inputs, num_classes=NUM_CLASSES, **{"hidden": 3, **options}).double()
    perturb(head)
    features = make_features(
        head, inputs, batch=2, dtype=torch.float64, requires_grad=True, image_size=SIZE
    )
    return head.eval(), features


def reference(head, features, norm="layer", activation="none"):
    rows = []
    for sample in range(len(leaves(features)[0])):
        maps, squeezed = {}, []
        for name, width in zip(head.maps.names, head.maps.widths, strict=True):
            if name in features:
                x = features[name].maps[0][sample]
                maps[name] = prepare(head.maps.blocks[name], x, norm)
                squeezed += pooled(maps[name])
            else:
                squeezed += torch.zeros(width, dtype=torch.float64)
        joint = dense(head.squeeze, squeezed)
        joint = relu(joint) if activation == "relu" else joint
        logits = []
        for name, x in maps.items():
            gains = 2 * logistic(dense(head.excitations[name], joint))
            weighted = torch.stack([gain * plane for gain, plane in zip(gains, x, strict=True)])
            logits.append(dense(head.classifiers[name][-1], pool(head.pools[name], weighted)))
        rows.append(sum(logits) / len(logits))
    return torch.stack(rows)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": "relu", "joint": 9},
        {"norm": "none", "hidden": None, "level": {"audio": 0}},
    ],
    ids=str,
)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_equals_the_formula_in_loops(count, options):
    head, features = build(count, **options)
    expected = reference(
        head, features, options.get("norm", "layer"), options.get("activation", "none")
    )
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(head(features), expected, wanted)


@pytest.mark.parametrize("present", [("audio",), ("image", "text")], ids=str)
def test_an_absent_stream_is_zeros_in_the_squeeze_and_left_out_of_the_mean(present):
    head, features = build(3)
    some = {name: features[name] for name in present}
    torch.testing.assert_close(head(some), reference(head, some))


def test_the_joint_width_is_a_quarter_of_all_channels():
    assert MMTM(make_inputs(3), num_classes=3).squeeze.weight.shape == (3, 15)
    assert MMTM(make_inputs(3), num_classes=3, joint=8).squeeze.weight.shape == (8, 15)


def test_gains_of_one_are_late_fusion():
    head, features = build(2)
    with torch.no_grad():
        for layer in head.excitations.values():
            layer.weight.zero_()
            layer.bias.zero_()
    alone = [head({name: feature}) for name, feature in features.items()]
    torch.testing.assert_close(head(features), sum(alone) / 2)


def test_maps_of_any_sizes_meet():
    head = MMTM(make_inputs(2), num_classes=3)
    maps = {
        "audio": fk.Features(maps=(torch.randn(2, 5, 1, 9),)),
        "image": fk.Features(maps=(torch.randn(2, 7, 6, 2),)),
    }
    assert head(maps).shape == (2, 3)
    assert [tuple(x.shape[-2:]) for x in head.maps(maps).values()] == [(1, 9), (6, 2)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"joint": 0}, "option joint takes a whole number of at least 1"),
        ({"activation": "tanh"}, "option activation is 'none' or 'relu', got 'tanh'"),
        ({"hidden": "many"}, "option hidden takes a whole number"),
        ({"dropout": 1}, "option dropout takes the share"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(fk.ConfigError, match=message):
        MMTM(make_inputs(2), num_classes=3, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"hidden": 16},
        {"activation": "relu", "joint": 3, "hidden": None, "norm": "none", "level": 0},
        {"dropout": 0.25, "hidden": 3, "level": {"image": 1}},
    ],
    ids=str,
)
def test_it_is_a_good_head(options):
    kit.check_head(partial(MMTM, **options))


def test_compilers_take_it():
    report = kit.check_head(MMTM, only=["compiles", "exports"])
    assert report["compiles"].status == report["exports"].status == "passed"
