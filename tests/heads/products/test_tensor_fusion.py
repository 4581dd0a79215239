"""Tensor fusion against loops, and the cost that it refuses."""

from __future__ import annotations

import pytest
import torch
from product_loops import check_against_loops, linear, outer
from torch import nn
from toy_features import NUM_CLASSES, make_features, make_inputs, perturb

import fusionkit as fk
from fusionkit.heads.products.tensor_fusion import TensorFusion


def reference(head, vectors):
    one = torch.ones(()).double()
    augmented = []
    for name, x in zip(head.vectors.names, vectors, strict=True):
        block = head.vectors.blocks[name]
        augmented.append([one, *(linear(block.linear, x) if hasattr(block, "linear") else x)])
    row = outer(augmented)
    layers = [layer for layer in head.classifier if isinstance(layer, nn.Linear)]
    for layer in layers[:-1]:
        row = [x if x > 0 else 0 * x for x in linear(layer, row)]
    return linear(layers[-1], row)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("norm", ["layer", "none"])
@pytest.mark.parametrize("options", [{}, {"project": 2, "hidden": 3}], ids=str)
def test_equals_the_formula_in_loops(count, norm, options):
    check_against_loops(TensorFusion, count, reference, norm=norm, **options)


def test_it_holds_each_branch_alone_and_each_product():
    features = {
        "a": fk.Features(torch.tensor([[2.0, 3.0]])),
        "b": fk.Features(torch.tensor([[5.0]])),
    }
    inputs = {"a": fk.HeadInput(2), "b": fk.HeadInput(1)}
    head = TensorFusion(inputs, num_classes=6, norm="none")
    with torch.no_grad():
        head.classifier[-1].weight.copy_(torch.eye(6))
        head.classifier[-1].bias.zero_()
    assert head(features)[0].tolist() == [1, 5, 2, 10, 3, 15]
    assert head({"a": features["a"]})[0].tolist() == [1, 0, 2, 0, 3, 0]
    assert head({"b": features["b"]})[0].tolist() == [1, 5, 0, 0, 0, 0]


def test_what_the_present_branches_say_together_is_left_when_one_is_absent():
    inputs = make_inputs(3)
    head = TensorFusion(inputs, num_classes=NUM_CLASSES, norm="none").double()
    perturb(head)
    features = make_features(head, inputs, batch=1, dtype=torch.float64)
    vectors = [[torch.ones(()).double(), *features[name].vector[0]] for name in ("audio", "image")]
    weight = head.classifier[-1].weight.view(NUM_CLASSES, 48, 4)[:, :, 0]
    expected = weight @ torch.stack(outer(vectors)) + head.classifier[-1].bias
    del features["text"]
    torch.testing.assert_close(head(features)[0], expected)


def test_under_autocast_products_beyond_float16_are_finite():
    inputs = make_inputs(3)
    head = TensorFusion(inputs, num_classes=NUM_CLASSES, norm="none")
    features = make_features(head, inputs)
    loud = {name: fk.Features(100 * feature.vector) for name, feature in features.items()}
    with torch.autocast("cpu", dtype=torch.float16):
        assert head(loud).isfinite().all()
    assert head(loud).abs().max() > 65504


def test_what_costs_too_much_is_refused_with_the_figure_before_it_is_made():
    wide = {name: fk.HeadInput(2048) for name in "abcd"}
    with pytest.raises(fk.AssemblyError) as refusal:
        TensorFusion(wide, num_classes=10, hidden=128)
    message = str(refusal.value)
    assert f"would need {(2049**4 + 1) * 128:,} parameters, (Π (d_i + 1) + 1) x 128" in message
    assert f"max_parameters is 50,000,000; write project=23 ({(24**4 + 1) * 128:,})" in message
    assert "take 'low_rank_fusion', whose cost does not multiply, or raise" in message
    assert (24**4 + 1) * 128 <= 50_000_000 < (25**4 + 1) * 128


def test_the_projection_that_is_told_fits_and_the_next_does_not():
    wide = {name: fk.HeadInput(300) for name in "abc"}
    with pytest.raises(fk.AssemblyError, match=r"write project=20 \(370,480\)"):
        TensorFusion(wide, num_classes=40, max_parameters=400_000)
    TensorFusion(wide, num_classes=40, max_parameters=400_000, project=20)
    with pytest.raises(fk.AssemblyError, match="21 x 21 x 21 would need 425,960 parameters"):
        TensorFusion(wide, num_classes=40, max_parameters=400_000, project=21)


def test_with_few_classes_the_tensors_of_a_batch_are_counted():
    wide = {name: fk.HeadInput(150) for name in "abc"}
    with pytest.raises(fk.AssemblyError) as refusal:
        TensorFusion(wide, num_classes=2)
    assert f"{151**3 * 32:,} numbers in the vectors of 32 samples" in str(refusal.value)


def test_a_huge_projection_is_refused_before_it_is_made():
    wide = {name: fk.HeadInput(10_000) for name in "ab"}
    with pytest.raises(fk.AssemblyError, match="10000000 x 10 would need"):
        TensorFusion(wide, num_classes=2, project={"a": 10_000_000, "b": 10})


def test_where_no_projection_fits_none_is_told():
    many = {f"b{i:02}": fk.HeadInput(8) for i in range(40)}
    with pytest.raises(fk.AssemblyError) as refusal:
        TensorFusion(many, num_classes=2)
    assert "project" not in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"project": 0}, "option project takes a whole number of at least 1, got 0"),
        ({"project": {"imgae": 3}}, "there is no branch 'imgae'. Did you mean 'image'"),
        ({"hidden": [4, 0]}, "option hidden takes a whole number of at least 1, got 0"),
        ({"max_parameters": 1e6}, "option max_parameters takes a whole number"),
    ],
    ids=["project", "branch", "hidden", "max_parameters"],
)
def test_options_that_are_wrong(options, message):
    with pytest.raises(fk.ConfigError, match=message):
        TensorFusion(make_inputs(), num_classes=2, **options)
