"""A transformer over all branches' tokens against loops in float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from token_loops import (
    NARROW,
    TOY,
    check,
    layer_norm,
    linear,
    reglu,
    relu,
    run_block,
    tokens_of,
    without,
)
from toy_features import NUM_CLASSES, make_features, make_inputs, perturb

import fusionkit as fk
import fusionkit.testing as kit
from fusionkit.heads.tokens.fusion_transformer import FusionTransformer


def reference(head, features, sample, **tokens):
    rows = [head.class_token.token[0, 0]]
    for name in sorted(features):
        rows += tokens_of(head, name, features[name], sample, **tokens)
    for index, block in enumerate(head.transformer.blocks):
        rows = run_block(block, rows, activate=reglu, first_norm=index > 0)
    return linear(head.classifier.linear, relu(layer_norm(head.transformer.norm, rows[0])))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_equals_the_formula_in_loops(count):
    check(FusionTransformer, reference, count)


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({"depth": 1, "position": False}, {"placed": False}),
        ({"depth": 1, "norm": "none"}, {"norm": "none"}),
        ({"depth": 1, "side": None, "level": {"image": -1}}, {"side": None}),
        ({"depth": 3, "heads": 1, "read": "vector"}, {}),
        ({"depth": 1, "level": {"text": 0}, "read": {"audio": "vector"}}, {}),
    ],
    ids=str,
)
def test_each_option_equals_the_formula_in_loops(options, tokens):
    check(FusionTransformer, partial(reference, **tokens), 3, **options)


@pytest.mark.parametrize("present", [["audio"], ["image", "text"]], ids=str)
def test_an_absent_branch_has_no_tokens(present):
    check(FusionTransformer, reference, 3, present=present)
    head = FusionTransformer(make_inputs(3), num_classes=NUM_CLASSES, **TOY).eval()
    perturb(head)
    features = make_features(head, make_inputs(3))
    given = {name: features[name] for name in present}
    assert torch.equal(head(given), without(head, FusionTransformer, present, **TOY)(given))


@pytest.mark.parametrize("position", [True, False])
def test_only_positions_tell_places_apart(position):
    inputs = make_inputs(2)
    head = FusionTransformer(inputs, num_classes=3, position=position, **TOY).double().eval()
    perturb(head)
    features = make_features(head, inputs, dtype=torch.float64)
    moved = {**features, "audio": fk.Features(maps=(features["audio"].maps[0].flip(-1),))}
    assert torch.allclose(head(moved), head(features)) is not position


def test_vectors_are_tokens_of_a_table_where_there_are_no_maps():
    inputs = {"one": fk.HeadInput(6), "other": fk.HeadInput(3)}
    head = FusionTransformer(inputs, num_classes=3)
    assert head.reads == dict.fromkeys(inputs, fk.Reads(vector=True))


@pytest.mark.parametrize(
    "options",
    [NARROW, {**TOY, "depth": 1, "read": {"image": "vector"}, "norm": "none", "dropout": 0.25}],
    ids=str,
)
def test_keeps_the_promises_of_every_head(options):
    kit.check_head(partial(FusionTransformer, **options))


@pytest.mark.slow
def test_compilers_take_it():
    compilers = ["compiles", "exports"]
    kit.check_head(partial(FusionTransformer, **NARROW), only=compilers)
