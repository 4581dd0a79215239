"""Attentional feature fusion against loops in float64, for two branches the paper's formula."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from map_loops import dense, logistic, pointwise, pool, pooled, prepare, relu, standardise
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
from fusionkit.heads.maps.attentional_fusion import AttentionalFusion
from fusionkit.heads.maps.channel_attention import MultiScaleChannelAttention

SIZE = (32, 96)


def build(count, **options):
    inputs = make_inputs(count)
    options = {"hidden": 3, "reduction": 2, **options}
    head = AttentionalFusion(inputs, num_classes=NUM_CLASSES, **options).double()
    perturb(head)
    features = make_features(
        head, inputs, batch=2, dtype=torch.float64, requires_grad=True, image_size=SIZE
    )
    return head.eval(), features


def normalise(module, x, kind):
    """The norm inside the attention, of "c h w"."""
    if kind == "none":
        return x
    if kind == "layer":
        x = standardise(x, eps=module.eps)
        planes = zip(x, module.weight, module.bias, strict=True)
        return torch.stack([plane * gain + offset for plane, gain, offset in planes])
    planes = []
    for c, plane in enumerate(x):
        deviation = (module.running_var[c] + module.eps).sqrt()
        unit = (plane - module.running_mean[c]) / deviation
        planes.append(unit * module.weight[c] + module.bias[c])
    return torch.stack(planes)


def attend(attention, x, kind):
    """MS-CAM before its sigmoid, "d h w": the whole map's answer is repeated in each place."""

    def path(layers, y):
        y = relu(normalise(layers[1], pointwise(layers[0], y), kind))
        return normalise(layers[4], pointwise(layers[3], y), kind)

    whole = path(attention.whole, pooled(x)[:, None, None])
    return path(attention.local, x) + whole.expand(-1, *x.shape[1:])


def aff_of_two(x, y, m):
    return m * x + (1 - m) * y


def fuse_by_the_paper(head, maps, kind):
    """M(x+y) ⊙ x + (1 - M(x+y)) ⊙ y, and once more with that in place of x + y if iterated."""
    x, y = maps
    fused = x + y
    for attention in head.attentions:
        fused = aff_of_two(x, y, logistic(attend(attention, fused, kind)))
    return fused


def fuse_many(head, maps, kind, places):
    """Softmax over the branches of these places, written place by place."""
    if len(maps) == 1:
        return maps[0]
    fused = sum(maps)
    channels, height, width = fused.shape
    for attention in head.attentions:
        m = attend(attention, fused, kind)
        planes = []
        for c in range(channels):
            line = []
            for i in range(height):
                for j in range(width):
                    logits = [
                        m[k * channels + c, i, j] if k * channels < len(m) else 0 * m[0, 0, 0]
                        for k in places
                    ]
                    exps = [logit.exp() for logit in logits]
                    line.append(
                        sum(e * x[c, i, j] for e, x in zip(exps, maps, strict=True)) / sum(exps)
                    )
            planes.append(torch.stack(line).reshape(height, width))
        fused = torch.stack(planes)
    return fused


def reference(head, features, kind="layer", norm="layer", *, fuse=None, places=None):
    names = sorted(features)
    size = max(tuple(features[name].maps[0].shape[-2:]) for name in names)
    places = range(len(head.maps.names)) if places is None else places
    rows = []
    for sample in range(len(leaves(features)[0])):
        maps = [
            prepare(head.maps.blocks[name], features[name].maps[0][sample], norm, size)
            for name in names
        ]
        fused = fuse(head, maps, kind) if fuse else fuse_many(head, maps, kind, places)
        rows.append(dense(head.classifier[-1], pool(head.pool, fused)))
    return torch.stack(rows)


@pytest.mark.parametrize("kind", ["layer", "batch", "none"])
@pytest.mark.parametrize("iterative", [False, True], ids=["once", "iterated"])
def test_two_branches_are_the_papers_formula(iterative, kind):
    head, features = build(2, iterative=iterative, attention_norm=kind)
    expected = reference(head, features, kind, fuse=fuse_by_the_paper)
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(head(features), expected, wanted)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"iterative": True, "width": 4},
        {"norm": "none", "hidden": None, "level": {"text": 0}},
        {"attention_norm": "batch", "reduction": 100},
    ],
    ids=str,
)
@pytest.mark.parametrize("count", [1, 3])
def test_more_branches_share_a_softmax(count, options):
    if count == 1 and "text" in options.get("level", {}):
        options = {**options, "level": 0}
    head, features = build(count, **options)
    kind, norm = options.get("attention_norm", "layer"), options.get("norm", "layer")
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(head(features), reference(head, features, kind, norm), wanted)


@pytest.mark.parametrize("iterative", [False, True], ids=["once", "iterated"])
@pytest.mark.parametrize("places", [(0,), (2,), (0, 1), (0, 2), (1, 2)], ids=str)
def test_absent_branches_are_left_out_of_the_softmax(places, iterative):
    head, features = build(3, iterative=iterative)
    present = {name: features[name] for i, name in enumerate(sorted(features)) if i in places}
    torch.testing.assert_close(head(present), reference(head, present, places=places))


def test_equal_maps_stay_what_they_are():
    inputs = make_inputs(2, channels=4, stride=16)
    head = AttentionalFusion(inputs, num_classes=3, iterative=True, norm="none").double()
    perturb(head)
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    fused = head._fuse({"audio": x, "image": x})
    torch.testing.assert_close(fused, x)


def test_each_weight_depends_on_place_and_channel():
    attention = MultiScaleChannelAttention(4, 4, reduction=2, norm="layer").double()
    logits = attention(torch.randn(2, 4, 3, 5, dtype=torch.float64))
    assert logits.std((2, 3)).min() > 1e-3
    assert logits.std(1).min() > 1e-3


def test_once_and_iterated_differ_in_one_attention():
    assert len(build(2)[0].attentions) == 1
    assert len(build(3, iterative=True)[0].attentions) == 2
    assert len(build(1, iterative=True)[0].attentions) == 0


def test_batch_norm_inside_refuses_a_single_sample_in_training():
    head, features = build(2, attention_norm="batch")
    one = {name: fk.Features(maps=(f.maps[0][:1],)) for name, f in features.items()}
    with pytest.raises(fk.DataError, match="or write attention_norm='layer'"):
        head.train()(one)
    assert head.eval()(one).isfinite().all()


def test_batch_norm_inside_uses_the_batch_in_training():
    head, features = build(2, attention_norm="batch")
    before = head.attentions[0].local[1].running_mean.clone()
    assert not torch.allclose(head.train()(features), head.eval()(features))
    head.train()(features)
    assert not torch.equal(head.attentions[0].local[1].running_mean, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iterative": "yes"}, "option iterative is True or False, got 'yes'"),
        ({"attention_norm": "bach"}, "option attention_norm is 'layer', 'batch' or 'none'"),
        ({"reduction": 0}, "option reduction takes a whole number of at least 1"),
        ({"width": 1.5}, "option width takes a whole number"),
        ({"norm": "batch"}, "option norm is 'layer' or 'none'"),
        ({"level": {"imag": 0}}, "there is no branch 'imag'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(fk.ConfigError, match=message):
        AttentionalFusion(make_inputs(2), num_classes=3, **options)


def test_a_single_channel_under_layer_norm_is_refused():
    with pytest.raises(fk.AssemblyError, match="would make a single channel constant"):
        AttentionalFusion(make_inputs(2), num_classes=3, width=1)


@pytest.mark.parametrize(
    "options",
    [
        {"hidden": 16},
        {"iterative": True, "attention_norm": "batch", "width": 6, "hidden": None},
        {"norm": "none", "attention_norm": "none", "hidden": 3, "dropout": 0.25},
    ],
    ids=str,
)
def test_it_is_a_good_head(options):
    kit.check_head(partial(AttentionalFusion, **options))


def test_compilers_take_it():
    report = kit.check_head(
        partial(AttentionalFusion, iterative=True), only=["compiles", "exports"]
    )
    assert report["compiles"].status == report["exports"].status == "passed"
