"""Compact bilinear pooling against loops, and against the outer products it stands for."""

from __future__ import annotations

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
from fusionkit.heads.products.compact_bilinear import CompactBilinear


def sketch(part, row):
    result = [0 * row[0]] * part.width
    for j, value in enumerate(row):
        place = int(part.places[j])
        result[place] = result[place] + int(part.signs[j]) * value
    return result


def convolve(x, y):
    width = len(x)
    result = [0 * x[0]] * width
    for i in range(width):
        for j in range(width):
            result[(i + j) % width] = result[(i + j) % width] + x[i] * y[j]
    return result


def reference(head, vectors):
    sketches = [sketch(head.sketches[n], x) for n, x in zip(head.sketches, vectors, strict=True)]
    joined = sketches[0]
    for other in sketches[1:]:
        joined = convolve(joined, other)
    return linear(head.classifier, power_normalise(joined))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("width", [8, 11])
@pytest.mark.parametrize("norm", ["layer", "none"])
def test_equals_the_formula_in_loops(count, width, norm):
    check_against_loops(CompactBilinear, count, reference, width=width, norm=norm)


def test_of_maps_the_products_are_summed_over_the_places():
    inputs = make_inputs(2, stride=48)
    head = CompactBilinear(
        inputs, num_classes=NUM_CLASSES, width=9, reads="maps", norm="none"
    ).double()
    perturb(head)
    features = make_features(head, inputs, batch=2, dtype=torch.float64, requires_grad=True)
    rows = []
    for sample in range(2):
        x, y = (features[name].maps[0][sample] for name in ("audio", "image"))
        summed = [0.0] * 9
        for i in range(x.shape[1]):
            for j in range(x.shape[2]):
                here = convolve(
                    sketch(head.sketches["audio"], x[:, i, j]),
                    sketch(head.sketches["image"], y[:, i, j]),
                )
                summed = [one + more for one, more in zip(summed, here, strict=True)]
        rows.append(torch.stack(linear(head.classifier, power_normalise(summed))))
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(head(features), torch.stack(rows), wanted)


def test_a_sketch_of_full_width_without_collisions_is_exact_bilinear_pooling():
    inputs = make_inputs(2)
    compact = CompactBilinear(inputs, num_classes=3, width=5 * 7).double()
    exact = Bilinear(inputs, num_classes=3).double()
    exact.classifier.load_state_dict(compact.classifier.state_dict())
    compact.sketches["audio"].places.copy_(7 * torch.arange(5))
    compact.sketches["image"].places.copy_(torch.arange(7))
    for part in compact.sketches.values():
        part.signs.fill_(1)
    features = make_features(compact, inputs, dtype=torch.float64, requires_grad=True)
    wanted = leaves(features)
    assert_same_with_gradients(compact(features), exact(features), wanted)


def test_three_sketches_of_full_width_are_the_whole_outer_product():
    inputs = make_inputs(3)
    head = CompactBilinear(inputs, num_classes=3, width=5 * 7 * 3, norm="none").double()
    for name, step in {"audio": 21, "image": 3, "text": 1}.items():
        part = head.sketches[name]
        part.places.copy_(step * torch.arange(len(part.places)))
        part.signs.fill_(1)
    features = make_features(head, inputs, batch=1, dtype=torch.float64)
    vectors = [list(features[name].vector[0]) for name in sorted(features)]
    expected = torch.stack(linear(head.classifier, power_normalise(outer(vectors))))
    torch.testing.assert_close(head(features)[0], expected)


def test_inner_products_of_sketches_are_those_of_outer_products_on_average():
    """⟨ψ(x ⊗ y), ψ(u ⊗ v)⟩ has the mean ⟨x, u⟩⟨y, v⟩ (Pham and Pagh, 2013)."""
    generator = torch.Generator().manual_seed(0)
    x, y, u, v = (torch.randn(6, generator=generator).double() for _ in range(4))
    due = (x @ u) * (y @ v)
    torch.manual_seed(0)
    found = []
    for _ in range(2000):
        head = CompactBilinear(
            {"a": fk.HeadInput(6), "b": fk.HeadInput(6)}, num_classes=1, width=64
        )
        a, b = head.sketches["a"], head.sketches["b"]
        one, other = (
            torch.fft.irfft(torch.fft.rfft(a(p)) * torch.fft.rfft(b(q)), n=64)
            for p, q in ((x, y), (u, v))
        )
        found.append(one @ other)
    mean, error = torch.stack(found).mean(), torch.stack(found).std() / 2000**0.5
    assert (mean - due).abs() < 4 * error < 0.15 * due.abs()


def test_signs_and_places_are_drawn_by_the_global_seed_saved_and_never_learn():
    def build(seed):
        torch.manual_seed(seed)
        return CompactBilinear(make_inputs(2), num_classes=3, width=1000).state_dict()

    one, same, other = build(0), build(0), build(1)
    codes = [key for key in one if key.endswith(("places", "signs"))]
    assert len(codes) == 4
    assert all(torch.equal(one[key], same[key]) for key in codes)
    assert not torch.equal(one["sketches.audio.places"], other["sketches.audio.places"])
    assert not torch.equal(one["sketches.audio.places"][:5], one["sketches.image.places"][:5])
    wide = CompactBilinear({"a": fk.HeadInput(5000)}, num_classes=1, width=7).sketches["a"]
    assert set(wide.signs.tolist()) == {-1, 1}
    assert abs(wide.signs.float().mean()) < 0.1
    assert wide.places.bincount(minlength=7).min() > 600
    head = CompactBilinear(make_inputs(2), num_classes=3)
    assert {name for name, _ in head.named_parameters()} == {"classifier.weight", "classifier.bias"}


def test_rounding_of_the_transform_does_not_come_out_as_features():
    """A wide sketch of few components is mostly zero; a root would blow rounding up to 1e-4."""
    inputs = make_inputs(2)
    torch.manual_seed(0)
    head = CompactBilinear(inputs, num_classes=3, width=4096)
    features = make_features(head, inputs, batch=2)
    seen = []
    head.dropout.register_forward_hook(lambda module, args, output: seen.append(output))
    head(features)
    assert seen[0].count_nonzero(dim=1).max() <= 35
    head.double()({name: fk.Features(f.vector.double()) for name, f in features.items()})
    torch.testing.assert_close(seen[0].double(), seen[1], rtol=1e-3, atol=1e-5)


def test_an_absent_branch_is_left_out_of_the_convolution():
    inputs = make_inputs(3)
    head = CompactBilinear(inputs, num_classes=NUM_CLASSES, width=8, norm="none").double()
    perturb(head)
    features = make_features(head, inputs, batch=1, dtype=torch.float64)
    joined = convolve(
        sketch(head.sketches["audio"], features["audio"].vector[0]),
        sketch(head.sketches["text"], features["text"].vector[0]),
    )
    expected = torch.stack(linear(head.classifier, power_normalise(joined)))
    del features["image"]
    torch.testing.assert_close(head(features)[0], expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "option width takes a whole number of at least 1, got 0"),
        ({"reads": "logits"}, "option reads is 'vector' or 'maps', got 'logits'"),
        ({"level": -1}, "option level chooses among maps"),
        ({"dropout": "a"}, "option dropout takes the share"),
    ],
    ids=["width", "reads", "level", "dropout"],
)
def test_options_that_are_wrong(options, message):
    with pytest.raises(fk.ConfigError, match=message):
        CompactBilinear(make_inputs(), num_classes=2, **options)


def test_a_sample_that_is_not_a_number_stays_one_and_spoils_no_other():
    head = CompactBilinear({"a": fk.HeadInput(5), "b": fk.HeadInput(6)}, num_classes=3).eval()
    features = {"a": fk.Features(torch.randn(2, 5)), "b": fk.Features(torch.randn(2, 6))}
    expected = head(features)
    features["a"].vector[0, 0] = torch.nan
    assert head(features)[0].isnan().all()
    torch.testing.assert_close(head(features)[1], expected[1])
