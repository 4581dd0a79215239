"""Feature-wise linear modulation against loops in float64, of vectors and of maps."""

from __future__ import annotations

import pytest
import torch
from toy_features import (
    EMBED_DIMS,
    NUM_CLASSES,
    assert_same_with_gradients,
    leaves,
    make_features,
    make_inputs,
    perturb,
)
from vector_loops import learning, linear, relu, run, standardise

import fusionkit as fk
from fusionkit.heads.vectors.film import Film


def channels_of(head, name, feature, sample, norm):
    """Gives W_i x_i as the list of values in each channel; a vector has one value in each."""
    if not feature.maps:
        row = list(feature.vector[sample])
        row = standardise(row) if norm == "layer" else row
        layer = getattr(head.vectors.blocks[name], "linear", None)
        return [[value] for value in (row if layer is None else linear(layer, row))]
    planes = feature.maps[0][sample]
    values = list(planes.flatten())
    values = standardise(values) if norm == "layer" else values
    size = planes[0].numel()
    places = [values[place::size] for place in range(size)]
    conv = getattr(head.maps.blocks[name], "conv", None)
    if conv is not None:
        weight, bias = conv.weight[:, :, 0, 0], conv.bias
        places = [
            [
                sum(w * x for w, x in zip(row, place, strict=True)) + b
                for row, b in zip(weight, bias, strict=True)
            ]
            for place in places
        ]
    return [list(channel) for channel in zip(*places, strict=True)]


def fuse(head, features, sample, *, by, norm, rectify):
    condition = []
    for name in by:
        present = name in features
        row = list(features[name].vector[sample]) if present else [0.0] * EMBED_DIMS[name]
        condition += standardise(row) if present and norm == "layer" else row
    fused = []
    for name, width in zip(head.conditioned, head.widths, strict=True):
        channels = [[torch.zeros(()).double()]] * width
        if name in features:
            channels = channels_of(head, name, features[name], sample, norm)
        changes = linear(head.generators[name], condition)
        for c, values in enumerate(channels):
            modulated = [(1 + changes[c]) * value + changes[width + c] for value in values]
            modulated = [relu(value) for value in modulated] if rectify else modulated
            fused.append(sum(modulated) / len(modulated))
    return fused


def check(count=2, by="audio", only=None, norm="layer", rectify=True, **options):
    inputs = make_inputs(count)
    torch.manual_seed(0)
    head = Film(inputs, num_classes=NUM_CLASSES, by=by, norm=norm, rectify=rectify, **options)
    head = head.double()
    perturb(head)
    features = make_features(head, inputs, dtype=torch.float64, batch=2)
    features = {name: shrink(each) for name, each in features.items() if name in (only or inputs)}
    by = [by] if isinstance(by, str) else by
    rows = [fuse(head, features, sample, by=by, norm=norm, rectify=rectify) for sample in range(2)]
    expected = torch.stack([torch.stack(run(head.classifier, row)) for row in rows])
    wanted = [*leaves(features), *learning(head, expected, only)]
    assert_same_with_gradients(head(features), expected, wanted)


def shrink(feature):
    """Takes a corner of the maps, so that loops end."""
    maps = tuple(map_[:, :, :2, :3].clone().requires_grad_() for map_ in feature.maps)
    vector = None if feature.vector is None else feature.vector.clone().requires_grad_()
    return feature._replace(vector=vector, maps=maps)


@pytest.mark.parametrize(
    ("count", "by"), [(2, "audio"), (2, "image"), (3, "image"), (3, ["audio", "text"])], ids=str
)
@pytest.mark.parametrize("norm", ["layer", "none"])
@pytest.mark.parametrize("width", [None, 4], ids=str)
@pytest.mark.parametrize("rectify", [True, False], ids=["relu", "bare"])
def test_modulated_vectors_equal_the_formula_in_loops(count, by, norm, width, rectify):
    check(count, by, norm=norm, width=width, rectify=rectify)


@pytest.mark.parametrize("level", [-1, 0, {"image": 1}], ids=str)
@pytest.mark.parametrize("norm", ["layer", "none"])
@pytest.mark.parametrize("width", [None, 4], ids=str)
@pytest.mark.parametrize("rectify", [True, False], ids=["relu", "bare"])
def test_modulated_maps_equal_the_formula_in_loops(level, norm, width, rectify):
    check(3, "audio", level=level, norm=norm, width=width, rectify=rectify)


@pytest.mark.parametrize("only", [("image",), ("text", "image")], ids="-".join)
@pytest.mark.parametrize("level", [None, -1], ids=str)
def test_without_what_conditions_the_biases_modulate(only, level):
    check(3, "audio", only=only, level=level, width=4)


@pytest.mark.parametrize("only", [("audio",), ("audio", "text")], ids="-".join)
@pytest.mark.parametrize("level", [None, -1], ids=str)
def test_of_an_absent_branch_the_shift_is_left(only, level):
    check(3, "audio", only=only, level=level, width=4)


def test_of_several_that_condition_an_absent_one_counts_as_zeros():
    check(3, ["audio", "image"], only=("audio", "text"), width=4)


def test_without_relu_a_map_is_modulated_as_its_mean():
    inputs = make_inputs(2)
    of_map = Film(inputs, num_classes=NUM_CLASSES, level=0, width=None, rectify=False, norm="none")
    offers = {"audio": inputs["audio"], "image": fk.HeadInput(inputs["image"].levels[0].channels)}
    of_mean = Film(offers, num_classes=NUM_CLASSES, width=None, rectify=False, norm="none")
    of_mean.load_state_dict(of_map.state_dict())
    features = make_features(of_map, inputs)
    mean = fk.Features(vector=features["image"].maps[0].mean((2, 3)))
    torch.testing.assert_close(of_mean({**features, "image": mean}), of_map(features))


def test_it_starts_near_the_features_unchanged():
    inputs = {name: fk.HeadInput(embed_dim=64) for name in ("a", "b")}
    torch.manual_seed(0)
    head = Film(inputs, num_classes=NUM_CLASSES, width=None, rectify=False)
    x, condition = torch.randn(32, 64), head.conditions({"a": fk.Features(torch.randn(32, 64))})
    modulated = head.modulate("b", x, condition["a"])
    both = torch.stack([modulated.flatten(), x.flatten()])
    assert 0.6 < torch.corrcoef(both)[0, 1] < 0.99


def test_the_first_branch_conditions_by_default():
    head = Film(make_inputs(3), num_classes=NUM_CLASSES, level={"text": -1})
    assert head.reads == {"audio": "vector", "image": "vector", "text": fk.Reads(maps=(1,))}
    assert "'audio' conditions 'image' and 'text'" in repr(head)
    both = Film(make_inputs(3), num_classes=NUM_CLASSES, by=["text", "audio"])
    assert "'audio' and 'text' condition 'image'" in repr(both)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "adio"}, "option by: there is no branch 'adio'. Did you mean 'audio'"),
        ({"by": []}, r"option by takes a branch or a list of branches, got \[\]"),
        ({"by": 1}, "option by takes a branch or a list of branches, got 1"),
        ({"by": ["image", "audio"]}, "option by names all branches, 'audio' and 'image', and"),
        ({"level": {"audio": 0}}, "option level: branch 'audio' conditions the others by its"),
        ({"level": 7}, "branch 'image' has no level 7"),
        ({"level": 0, "norm": "l2"}, "option norm is 'layer' or 'none', got 'l2'"),
        ({"rectify": 1}, "option rectify is True or False, got 1"),
        ({"width": 0}, "option width takes a whole number of at least 1"),
    ],
    ids=["unknown", "empty", "number", "all", "level", "depth", "norm", "rectify", "width"],
)
def test_wrong_options_are_told(options, message):
    with pytest.raises(fk.FusionKitError, match=message):
        Film(make_inputs(2), num_classes=NUM_CLASSES, **options)


def test_one_branch_alone_cannot_be_conditioned():
    with pytest.raises(fk.AssemblyError, match=r"two branches or more, .* 'audio' is alone"):
        Film(make_inputs(1), num_classes=NUM_CLASSES)
