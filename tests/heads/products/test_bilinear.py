"""Bilinear pooling against loops, of vectors and of maps, and what it refuses."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from product_loops import check_against_loops, linear, outer, power_normalise
from toy_features import (
    NUM_CLASSES,
    assert_same_with_gradients,
    leaves,
    make_features,
    make_inputs,
    perturb,
)

import fusionkit as fk
from fusionkit.heads.products.bilinear import Bilinear


def pairs_of(vectors):
    return list(combinations(vectors, 2)) if len(vectors) > 1 else [(vectors[0], vectors[0])]


def reference(head, vectors):
    joined = []
    for pair in pairs_of(vectors):
        joined += power_normalise(outer(pair))
    return linear(head.classifier, joined)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("norm", ["layer", "none"])
def test_equals_the_formula_in_loops(count, norm):
    check_against_loops(Bilinear, count, reference, norm=norm)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_of_maps_outer_products_are_summed_over_the_places(count):
    inputs = make_inputs(count, stride=48)
    head = Bilinear(inputs, num_classes=NUM_CLASSES, reads="maps", norm="none").double()
    perturb(head)
    features = make_features(head, inputs, batch=2, dtype=torch.float64, requires_grad=True)
    rows = []
    for sample in range(2):
        maps = [features[name].maps[0][sample] for name in sorted(features)]
        joined = []
        for x, y in pairs_of(maps):
            summed = [0.0] * (len(x) * len(y))
            for i in range(x.shape[1]):
                for j in range(x.shape[2]):
                    here = outer([list(x[:, i, j]), list(y[:, i, j])])
                    summed = [one + more for one, more in zip(summed, here, strict=True)]
            joined += power_normalise(summed)
        rows.append(torch.stack(linear(head.classifier, joined)))
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(head(features), torch.stack(rows), wanted)


def test_of_maps_one_place_is_the_same_as_vectors():
    inputs = make_inputs(2)
    maps = Bilinear(inputs, num_classes=3, reads="maps", level={"image": 0}, norm="none").double()
    assert maps.reads == {"audio": fk.Reads(maps=(1,)), "image": fk.Reads(maps=(0,))}
    widths = dict(zip(maps.places.names, maps.places.widths, strict=True))
    vectors = Bilinear(
        {name: fk.HeadInput(width) for name, width in widths.items()}, num_classes=3, norm="none"
    ).double()
    vectors.load_state_dict(maps.state_dict())
    values = {name: torch.randn(4, width).double() for name, width in widths.items()}
    answer = maps({name: fk.Features(maps=(x[:, :, None, None],)) for name, x in values.items()})
    assert torch.equal(answer, vectors({name: fk.Features(x) for name, x in values.items()}))


def test_a_projection_comes_first():
    head = Bilinear(make_inputs(2), num_classes=3, project=4)
    assert head.classifier.in_features == 16
    head = Bilinear(make_inputs(2), num_classes=3, project=4, reads="maps")
    assert head.classifier.in_features == 16


def test_scale_is_taken_out_again():
    inputs = make_inputs(2)
    head = Bilinear(inputs, num_classes=3, norm="none").double()
    features = make_features(head, inputs, dtype=torch.float64)
    louder = {name: fk.Features(1e3 * feature.vector) for name, feature in features.items()}
    torch.testing.assert_close(head(louder), head(features))


def test_an_absent_branch_counts_as_ones_and_an_absent_pair_as_zeros():
    inputs = make_inputs(3)
    head = Bilinear(inputs, num_classes=NUM_CLASSES, norm="none").double()
    perturb(head)
    features = make_features(head, inputs, batch=1, dtype=torch.float64)
    x = list(features["audio"].vector[0])
    one = torch.ones(()).double()
    joined = [
        *power_normalise(outer([x, [one] * 7])),
        *power_normalise(outer([x, [one] * 3])),
        *[0 * one] * 21,
    ]
    expected = torch.stack(linear(head.classifier, joined))
    torch.testing.assert_close(head({"audio": features["audio"]})[0], expected)


def test_zeros_leave_every_gradient_finite():
    inputs = make_inputs(2)
    head = Bilinear(inputs, num_classes=2, norm="none")
    zeros = {
        name: fk.Features(torch.zeros(3, each.embed_dim, requires_grad=True))
        for name, each in inputs.items()
    }
    head(zeros).sum().backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves(zeros))
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_what_costs_too_much_is_refused_with_the_figure_before_it_is_made():
    wide = {"a": fk.HeadInput(100_000), "b": fk.HeadInput(90_000)}
    with pytest.raises(fk.AssemblyError) as refusal:
        Bilinear(wide, num_classes=40)
    message = str(refusal.value)
    assert "100000 x 90000 would need 360,000,000,040 parameters" in message
    assert "(Σ d_i d_j over the pairs + 1) x 40" in message
    assert "max_parameters is 50,000,000" in message
    assert "write project=1118 (49,997,000)" in message
    assert "take 'compact_bilinear'" in message
    small = {"max_parameters": (5 * 7 + 1) * 40}
    assert Bilinear(make_inputs(2), num_classes=40, **small).classifier.in_features == 35
    with pytest.raises(fk.AssemblyError, match="would need 1,440 parameters"):
        Bilinear(make_inputs(2), num_classes=40, max_parameters=1439)


def test_with_few_classes_the_descriptors_of_a_batch_are_counted():
    wide = {name: fk.HeadInput(2048) for name in "ab"}
    with pytest.raises(fk.AssemblyError, match="134,217,728 numbers in the vectors of 32 samples"):
        Bilinear(wide, num_classes=2)
    assert Bilinear(wide, num_classes=2, project=1250).classifier.in_features == 1250**2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reads": "map"}, "option reads is 'vector' or 'maps', got 'map'. Did you mean 'maps'"),
        ({"level": 0}, "option level chooses among maps, got 0; write reads='maps' with it"),
        ({"reads": "maps", "norm": "l2"}, "option norm is 'layer' or 'none', got 'l2'"),
        ({"max_parameters": 0}, "option max_parameters takes a whole number of at least 1, got 0"),
        ({"dropout": 2}, "option dropout takes the share"),
    ],
    ids=["reads", "level", "norm", "max_parameters", "dropout"],
)
def test_options_that_are_wrong(options, message):
    with pytest.raises(fk.ConfigError, match=message):
        Bilinear(make_inputs(), num_classes=2, **options)


def test_branches_without_maps_are_named():
    with pytest.raises(fk.AssemblyError, match="branch 'a' has no maps"):
        Bilinear({"a": fk.HeadInput(4)}, num_classes=2, reads="maps")
