"""Class tokens that attend to the other branches against loops in float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from token_loops import (
    NARROW,
    TOY,
    attend,
    check,
    layer_norm,
    linear,
    run_block,
    tokens_of,
    without,
)
from torch import nn
from toy_features import NUM_CLASSES, make_features, make_inputs, perturb

import fusionkit.testing as kit
from fusionkit.heads.tokens.cross_class_attention import CrossClassAttention


def reference(head, features, sample, **tokens):
    classes, patches = {}, {}
    for name in sorted(features):
        classes[name] = head.class_tokens[name].token[0, 0]
        patches[name] = tokens_of(head, name, features[name], sample, **tokens)
    for round_ in head.rounds:
        for name in sorted(features):
            rows = [classes[name], *patches[name]]
            for block in round_.blocks[name]:
                rows = run_block(block, rows)
            classes[name], *patches[name] = rows
        asked = {}
        for name, own in classes.items():
            seen = [own]
            for other in classes:
                seen += patches[other] if other != name else []
            seen = [layer_norm(round_.norms[name], row) for row in seen]
            asked[name] = own + attend(round_.crossings[name], seen[:1], seen)[0]
        classes = asked
    logits = []
    for name, own in classes.items():
        norm, layer = head.classifiers[name]
        logits.append(linear(layer, layer_norm(norm, own)))
    return sum(logits) / len(logits)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_equals_the_formula_in_loops(count):
    check(CrossClassAttention, reference, count)


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({"depth": 3, "norm": "none"}, {"norm": "none"}),
        ({"self_depth": 2, "depth": 1, "position": False}, {"placed": False}),
        ({"read": {"audio": "vector"}, "depth": 1, "heads": 4}, {}),
    ],
    ids=str,
)
def test_each_option_equals_the_formula_in_loops(options, tokens):
    check(CrossClassAttention, partial(reference, **tokens), 2, **options)


@pytest.mark.parametrize("present", [["audio"], ["image", "text"]], ids=str)
def test_an_absent_branch_is_asked_nothing(present):
    check(CrossClassAttention, reference, 3, present=present, depth=1)
    head = CrossClassAttention(make_inputs(3), num_classes=NUM_CLASSES, **TOY).eval()
    perturb(head)
    features = make_features(head, make_inputs(3))
    given = {name: features[name] for name in present}
    assert torch.equal(head(given), without(head, CrossClassAttention, present, **TOY)(given))


def test_a_class_token_sees_the_other_branch_and_not_its_own():
    inputs = make_inputs(2)
    head = CrossClassAttention(inputs, num_classes=3, **TOY).eval()
    perturb(head)
    for round_ in head.rounds:
        round_.blocks.update({name: nn.Identity() for name in inputs})
    with torch.no_grad():
        head.classifiers["image"][1].weight.zero_()
    features, others = make_features(head, inputs), make_features(head, inputs, seed=1)
    expected = head(features)
    assert torch.equal(head({**features, "audio": others["audio"]}), expected)
    assert not torch.allclose(head({**features, "image": others["image"]}), expected)


@pytest.mark.parametrize(
    "options",
    [NARROW, {**TOY, "depth": 1, "read": "vector", "dropout": 0.25}],
    ids=str,
)
def test_keeps_the_promises_of_every_head(options):
    kit.check_head(partial(CrossClassAttention, **options))


@pytest.mark.slow
def test_compilers_take_it():
    compilers = ["compiles", "exports"]
    kit.check_head(partial(CrossClassAttention, **NARROW), only=compilers)
