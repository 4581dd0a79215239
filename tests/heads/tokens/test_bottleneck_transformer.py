"""Streams that meet in bottleneck tokens against loops in float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from token_loops import NARROW, TOY, check, layer_norm, linear, run_block, tokens_of, without
from toy_features import NUM_CLASSES, make_features, make_inputs, perturb

import fusionkit as fk
import fusionkit.testing as kit
from fusionkit.heads.tokens.bottleneck_transformer import BottleneckTransformer


def reference(head, features, sample, **tokens):
    names = sorted(features)
    streams = {
        name: [
            head.class_tokens[name].token[0, 0],
            *tokens_of(head, name, features[name], sample, **tokens),
        ]
        for name in names
    }
    shared = [] if head.bottleneck is None else list(head.bottleneck[0])
    for index, layer in enumerate(head.layers):
        used = shared if index >= head.fuse_from else []
        copies = []
        for name in names:
            rows = run_block(layer.blocks[name], [*streams[name], *used])
            streams[name], copy = rows[: len(streams[name])], rows[len(streams[name]) :]
            copies.append(copy)
        if used:
            shared = [sum(rows) / len(names) for rows in zip(*copies, strict=True)]
    logits = [linear(head.classifier, layer_norm(head.norm, streams[name][0])) for name in names]
    return sum(logits) / len(logits)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_equals_the_formula_in_loops(count):
    check(BottleneckTransformer, reference, count)


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({"depth": 2, "fuse_from": 0, "bottlenecks": 1}, {}),
        ({"depth": 2, "fuse_from": 2}, {}),
        ({"depth": 2, "position": False, "norm": "none"}, {"placed": False, "norm": "none"}),
        ({"depth": 2, "fuse_from": 0, "read": {"audio": "vector"}}, {}),
    ],
    ids=str,
)
def test_each_option_equals_the_formula_in_loops(options, tokens):
    check(BottleneckTransformer, partial(reference, **tokens), 2, **options)


@pytest.mark.parametrize("present", [["audio"], ["image", "text"]], ids=str)
def test_an_absent_stream_is_left_out_of_the_averages(present):
    check(BottleneckTransformer, reference, 3, present=present)
    head = BottleneckTransformer(make_inputs(3), num_classes=NUM_CLASSES, **TOY).eval()
    perturb(head)
    features = make_features(head, make_inputs(3))
    given = {name: features[name] for name in present}
    assert torch.equal(head(given), without(head, BottleneckTransformer, present, **TOY)(given))


@pytest.mark.parametrize(("fuse_from", "meet"), [(3, False), (2, False), (1, True), (0, True)])
def test_streams_meet_only_behind_two_layers_with_the_bottleneck(fuse_from, meet):
    inputs = make_inputs(2)
    head = BottleneckTransformer(inputs, num_classes=3, depth=3, fuse_from=fuse_from, **TOY)
    head.double().eval()
    perturb(head)
    features = make_features(head, inputs, dtype=torch.float64)
    alone = [head({name: each}) for name, each in features.items()]
    assert torch.allclose(head(features), sum(alone) / 2) is not meet


def test_late_fusion_has_no_bottleneck_that_could_not_learn():
    head = BottleneckTransformer(make_inputs(2), num_classes=3, depth=2, fuse_from=2)
    assert "bottleneck" not in dict(head.named_parameters())


@pytest.mark.parametrize("fuse_from", [-1, 4, True, 1.0, None], ids=str)
def test_a_layer_that_is_not_there_is_refused(fuse_from):
    with pytest.raises(fk.ConfigError, match="fuse_from is a layer from 0 to depth=3"):
        BottleneckTransformer(make_inputs(2), num_classes=3, fuse_from=fuse_from)


@pytest.mark.parametrize(
    "options",
    [
        {**NARROW, "fuse_from": 1},
        {**TOY, "depth": 2, "fuse_from": 0, "bottlenecks": 2, "read": {"text": "vector"}},
        {**TOY, "depth": 1, "fuse_from": 1, "norm": "none", "dropout": 0.25},
    ],
    ids=str,
)
def test_keeps_the_promises_of_every_head(options):
    kit.check_head(partial(BottleneckTransformer, **options))


@pytest.mark.slow
def test_compilers_take_it():
    compilers = ["compiles", "exports"]
    kit.check_head(partial(BottleneckTransformer, **NARROW, fuse_from=1), only=compilers)
