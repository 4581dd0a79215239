"""Attention of each branch to each other against loops in float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from token_loops import (
    NARROW,
    TOY,
    check,
    is_identity,
    layer_norm,
    linear,
    relu,
    run_block,
    tokens_of,
)
from toy_features import NUM_CLASSES, make_inputs

import fusionkit as fk
import fusionkit.testing as kit
from fusionkit.heads.tokens.cross_attention import CrossAttention


def run(transformer, rows, context=None):
    for block in transformer.blocks:
        rows = run_block(block, rows, context, activate=relu)
    return [layer_norm(transformer.norm, row) for row in rows]


def reference(head, features, sample, **tokens):
    rows = {
        name: tokens_of(head, name, feature, sample, **tokens) for name, feature in features.items()
    }
    names = sorted(head.targets)
    joined = []
    for one in names:
        if one not in rows:
            joined += [torch.zeros_like(next(iter(rows.values()))[0])] * (len(names) - 1)
            continue
        target = head.targets[one]
        crossed = [
            run(target.crossings[other], rows[one], rows.get(other, []))
            for other in names
            if other != one
        ]
        learnt = [torch.cat(parts) for parts in zip(*crossed, strict=True)]
        learnt = learnt if is_identity(target.memory) else run(target.memory, learnt)
        joined.append(sum(learnt) / len(learnt))
    return linear(head.classifier, torch.cat(joined))


@pytest.mark.parametrize("count", [2, 3])
def test_equals_the_formula_in_loops(count):
    check(CrossAttention, reference, count, depth=1 if count == 3 else 2)


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({"self_depth": None, "depth": 1}, {}),
        ({"self_depth": 2, "read": "vector", "norm": "none"}, {"norm": "none"}),
        ({"depth": 1, "position": False, "read": {"audio": "vector"}}, {"placed": False}),
    ],
    ids=str,
)
def test_each_option_equals_the_formula_in_loops(options, tokens):
    check(CrossAttention, partial(reference, **tokens), 2, **options)


@pytest.mark.parametrize("present", [["audio"], ["image", "text"]], ids=str)
def test_attention_to_an_absent_branch_adds_nothing(present):
    check(CrossAttention, reference, 3, present=present, depth=1)


def test_each_ordered_pair_has_a_transformer():
    head = CrossAttention(make_inputs(3), num_classes=NUM_CLASSES, **TOY)
    pairs = [(one, other) for one in head.targets for other in head.targets[one].crossings]
    assert len(pairs) == len(set(pairs)) == 6
    assert all(one != other for one, other in pairs)
    assert head.classifier.in_features == 3 * 2 * 8


def test_one_branch_alone_is_refused():
    with pytest.raises(fk.AssemblyError, match="joins two branches or more, and 'audio' is alone"):
        CrossAttention(make_inputs(1), num_classes=3)


@pytest.mark.parametrize(
    "options",
    [NARROW, {**TOY, "depth": 1, "self_depth": None, "level": {"image": 0}, "dropout": 0.25}],
    ids=str,
)
def test_keeps_the_promises_of_every_head(options):
    kit.check_head(partial(CrossAttention, **options))


@pytest.mark.slow
def test_compilers_take_it():
    compilers = ["compiles", "exports"]
    kit.check_head(partial(CrossAttention, **NARROW), only=compilers)
