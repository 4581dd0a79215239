"""Deep sets against loops in float64."""

from __future__ import annotations

import pytest
import torch
from toy_features import NUM_CLASSES, make_features, make_inputs, perturb
from vector_loops import check, linear, run

import fusionkit as fk
from fusionkit.heads.vectors.deep_sets import DeepSets


def fuse(head, vectors):
    members = []
    for name, vector in vectors.items():
        members.append(run(head.phi, linear(head.vectors.blocks[name].linear, vector)))
    pooled = []
    for column in zip(*members, strict=True):
        value = max(column) if head.pool == "max" else sum(column)
        pooled.append(value / len(column) if head.pool == "mean" else value)
    return pooled


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("pool", ["sum", "mean"])
@pytest.mark.parametrize(
    "options", [{"phi": 4, "hidden": None}, {"phi": [5, 4], "hidden": 6}], ids=str
)
@pytest.mark.parametrize("norm", ["layer", "none"])
def test_equals_the_formula_in_loops(count, pool, options, norm):
    check(DeepSets, fuse, count=count, norm=norm, width=3, pool=pool, **options)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_maximum_equals_the_formula_in_loops(count):
    # After tanh nothing ties, as zeros of a ReLU do, where every choice has another gradient.
    check(DeepSets, fuse, count=count, width=3, phi=4, hidden=5, pool="max", activation="tanh")


@pytest.mark.parametrize("pool", ["sum", "mean"])
@pytest.mark.parametrize("only", [("image",), ("audio", "text")], ids="-".join)
def test_absent_branches_are_no_members(only, pool):
    check(DeepSets, fuse, count=3, only=only, width=3, phi=4, hidden=5, pool=pool)


@pytest.mark.parametrize("pool", ["sum", "mean", "max"])
def test_only_the_projections_tell_branches_apart(pool):
    inputs = dict.fromkeys(("audio", "image", "text"), fk.HeadInput(embed_dim=5))
    head = DeepSets(inputs, num_classes=NUM_CLASSES, width=4, phi=6, pool=pool).double()
    perturb(head)
    features = make_features(head, inputs, dtype=torch.float64)
    turned = dict(zip(("image", "text", "audio"), features.values(), strict=True))
    assert not torch.allclose(head(turned), head(features))
    for block in head.vectors.blocks.values():
        block.linear.load_state_dict(head.vectors.blocks["audio"].linear.state_dict())
    torch.testing.assert_close(head(turned), head(features))


@pytest.mark.parametrize(("options", "additive"), [({}, False), ({"hidden": None}, True)])
def test_by_default_what_a_branch_says_depends_on_the_others(options, additive):
    inputs = make_inputs(2)
    torch.manual_seed(0)
    head = DeepSets(inputs, num_classes=NUM_CLASSES, **options).double()
    one, other = (make_features(head, inputs, dtype=torch.float64, seed=seed) for seed in (0, 1))
    mixed = head({**one, "image": other["image"]}), head({**other, "image": one["image"]})
    assert torch.allclose(head(one) + head(other), sum(mixed)) == additive


def test_pools_have_names():
    with pytest.raises(fk.ConfigError, match="option pool is 'sum', 'mean' or 'max', got 'maxx'"):
        DeepSets(make_inputs(2), num_classes=NUM_CLASSES, pool="maxx")


def test_layers_of_phi_have_widths():
    with pytest.raises(fk.ConfigError, match="option phi takes a whole number of at least 1"):
        DeepSets(make_inputs(2), num_classes=NUM_CLASSES, phi=[4, 0])
