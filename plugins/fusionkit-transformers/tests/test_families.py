"""What holds for every family: declared is what comes out, and it is what transformers computes."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from families import (
    BACKBONES,
    CLASSES,
    CLASSIFIERS,
    IMAGES,
    TEXTS,
    classifier_maker,
    maker,
    perturb,
    stock_inputs,
    twin,
)
from torch import Tensor

import fusionkit as fk

EVERY = sorted({**IMAGES, **TEXTS})
SOME = ["vit", "swin", "siglip2_vision_model", "levit", "bert", "t5"]
"""One of each way to be built, for what the conformance kit asks as well."""

VECTOR = fk.Reads(vector=True)
TOKENS = sorted(
    {"vit", "deit", "dinov2", "dinov2_with_registers", "dinov3_vit", "clip_vision_model"}
    | {"siglip_vision_model", "siglip2_vision_model", "beit", "data2vec-vision", "vit_msn", "ijepa"}
)
PREFIXES = {"deit": 2, "dinov2_with_registers": 5, "dinov3_vit": 5} | dict.fromkeys(
    ("siglip_vision_model", "siglip2_vision_model", "ijepa"), 0
)


def build(make: Any, **arguments: Any) -> fk.Backbone:
    torch.manual_seed(0)
    backbone = make(**arguments)
    perturb(backbone)
    return backbone.eval()


def reads_of(backbone: fk.Backbone, *, vector: bool = True, logits: bool = False) -> fk.Reads:
    levels = len(backbone.levels)
    reads = fk.Reads(vector=vector, logits=logits, maps="all" if levels else ())
    return reads.resolve(levels) if levels else reads


@pytest.mark.parametrize("family", EVERY)
def test_the_vector_is_what_transformers_gives(family: str) -> None:
    backbone = build(maker(family))
    x = backbone.example(2)
    model = twin(backbone)
    with torch.no_grad():
        output = model(**stock_inputs(model, x))
        vector = backbone(x, VECTOR).vector
    pooled = getattr(output, "pooler_output", None)
    if family in TEXTS and not family.startswith(("clip", "siglip")):
        mask = x["attention_mask"].unsqueeze(-1)
        pooled = (output.last_hidden_state * mask).sum(1) / mask.sum(1)
    elif pooled is None:
        hidden = output.last_hidden_state
        pooled = hidden[:, 0] if hidden.ndim == 3 and family == "vit_msn" else None
        pooled = hidden.flatten(2).mean(2) if pooled is None else pooled
    torch.testing.assert_close(vector, pooled.flatten(1), rtol=1e-6, atol=1e-6)
    assert vector.shape == (2, backbone.embed_dim)
    # a tiny random EfficientNet lets through next to nothing of the image
    assert family == "efficientnet" or not torch.equal(vector[0], vector[1])


@pytest.mark.parametrize("family", TOKENS)
def test_maps_of_tokens_are_the_hidden_states_without_their_first(family: str) -> None:
    backbone = build(maker(family))
    x = backbone.example(2)
    model = twin(backbone)
    with torch.no_grad():
        states = model(**stock_inputs(model, x), output_hidden_states=True).hidden_states
        maps = backbone(x, reads_of(backbone)).maps
    assert len(maps) == len(backbone.levels) == len(states) - 1
    side = x.shape[-1] // 8
    for level, map_, state in zip(backbone.levels, maps, states[1:], strict=True):
        assert (level.channels, level.stride) == (16, 8)
        places = state[:, PREFIXES.get(family, 1) :]
        assert torch.equal(map_, places.transpose(1, 2).reshape(2, 16, side, side))


@pytest.mark.parametrize("family", ["convnext", "convnextv2", "dinov3_convnext", "resnet"])
def test_maps_of_convolutions_are_the_hidden_states(family: str) -> None:
    backbone = build(maker(family))
    x = backbone.example(2)
    model = twin(backbone)
    with torch.no_grad():
        states = model(x, output_hidden_states=True).hidden_states
        maps = backbone(x, reads_of(backbone)).maps
    assert [level.stride for level in backbone.levels] == [4, 8, 16, 32]
    for map_, state in zip(maps, states[-4:], strict=True):
        assert torch.equal(map_, state)


@pytest.mark.parametrize("family", ["swin", "swinv2"])
def test_maps_of_windows_are_taken_before_the_downsampling(family: str) -> None:
    backbone = build(maker(family))
    x = backbone.example(2)
    model = twin(backbone)
    with torch.no_grad():
        embedded, grid = model.embeddings(x)
        encoded = model.encoder(
            embedded,
            grid,
            output_hidden_states=True,
            output_hidden_states_before_downsampling=True,
        )
        maps = backbone(x, reads_of(backbone)).maps
    assert [level.stride for level in backbone.levels] == [4, 8]
    for map_, state in zip(maps, encoded.reshaped_hidden_states[1:], strict=True):
        assert torch.equal(map_, state)


@pytest.mark.parametrize("family", sorted(IMAGES))
def test_what_is_declared_is_what_comes_out(family: str) -> None:
    backbone = build(maker(family))
    sizes = [backbone.example(1).shape[-2:]]
    if backbone.fixed_size is None:
        step = backbone.size_multiple
        sizes.append((sizes[0][0] + 64 // step * step, sizes[0][1] + 32 // step * step))
    for height, width in sizes:
        x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))
        backbone.check_input(x)
        with torch.no_grad():
            features = backbone(x, reads_of(backbone))
        assert features.vector.shape == (2, backbone.embed_dim)
        assert len(features.maps) == len(backbone.levels) > 0
        for level, map_ in zip(backbone.levels, features.maps, strict=True):
            assert map_.shape[:2] == (2, level.channels)
            assert abs(map_.shape[2] - height / level.stride) <= 1
            assert abs(map_.shape[3] - width / level.stride) <= 1
    strides = [level.stride for level in backbone.levels]
    assert strides == sorted(strides)


@pytest.mark.parametrize("family", sorted(BACKBONES))
def test_a_backbone_class_gives_its_feature_maps(family: str) -> None:
    make = maker(family, architecture=BACKBONES[family])
    backbone = build(make)
    x = backbone.example(2)
    model = twin(backbone)
    with torch.no_grad():
        stock = model(x).feature_maps
        features = backbone(x, reads_of(backbone))
    assert len(stock) == len(features.maps) == len(backbone.levels)
    for map_, own in zip(features.maps, stock, strict=True):
        assert torch.equal(map_, own)
    torch.testing.assert_close(features.vector, stock[-1].mean((2, 3)))


@pytest.mark.parametrize("family", sorted(CLASSIFIERS))
def test_a_stock_classifier_is_kept_or_left_out(family: str) -> None:
    make = classifier_maker(family)
    kept = build(make, num_classes=CLASSES)
    x = kept.example(2)
    model = twin(kept)
    with torch.no_grad():
        logits = model(**stock_inputs(model, x)).logits
        features = kept(x, fk.Reads(vector=True, logits=True))
        only = kept(x, fk.Reads(logits=True))
    assert torch.equal(features.logits, logits)
    assert torch.equal(only.logits, logits)
    assert only.vector is None
    assert kept.stages[-1].name == "classifier"
    assert kept.num_classes == CLASSES

    without = make(num_classes=CLASSES + 1)
    assert without.num_classes is None
    assert without.dropped_keys
    state = {
        name: value
        for name, value in kept.trunk.state_dict().items()
        if not name.startswith(tuple(glob.removesuffix("*") for glob in without.dropped_keys))
    }
    without.trunk.load_state_dict(state, strict=True)
    with torch.no_grad():
        vector = without.eval()(x, VECTOR).vector
    assert torch.equal(vector, features.vector)
    assert vector.shape == (2, without.embed_dim)
    with pytest.raises(fk.AssemblyError, match="the stock classifier was dropped"):
        without(x, fk.Reads(logits=True))


def test_a_classifier_reads_the_vector() -> None:
    kept = build(classifier_maker("vit"), num_classes=CLASSES)
    with torch.no_grad():
        features = kept(kept.example(2), fk.Reads(vector=True, logits=True))
        logits = features.vector @ kept.trunk.classifier.weight.T + kept.trunk.classifier.bias
    torch.testing.assert_close(features.logits, logits)


@pytest.mark.parametrize("family", EVERY)
def test_every_parameter_is_in_one_block_and_the_stem_is_first(family: str) -> None:
    backbone = maker(family)()
    trunk = backbone.trunk
    names = [name for name, _ in trunk.named_parameters()]
    found: list[str] = []
    for stage in backbone.stages:
        for block in stage.blocks:
            paths = tuple(f"{path}." for path in block)
            found += [name for name in names if name in block or name.startswith(paths)]
    assert sorted(found) == sorted(names)
    assert backbone.stages[0].name == "stem"
    assert backbone.trunk_path == "trunk"
    assert len(backbone.stages) > 2 or family == "albert"  # whose layers share one set


@pytest.mark.parametrize("family", SOME)
def test_copies_and_pickles_compute_the_same(family: str) -> None:
    backbone = build(maker(family))
    x = backbone.example(2)
    reads = reads_of(backbone)
    with torch.no_grad():
        first = backbone(x, reads)
        for other in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
            again = other(x, reads)
            assert torch.equal(again.vector, first.vector)
            assert all(map(torch.equal, again.maps, first.maps))


@pytest.mark.parametrize("family", sorted(IMAGES))
def test_other_channels(family: str) -> None:
    backbone = build(maker(family), in_channels=5)
    x = backbone.example(2)
    assert x.shape[1] == 5
    with torch.no_grad():
        assert backbone(x, VECTOR).vector.shape == (2, backbone.embed_dim)
    naflex = family == "siglip2_vision_model"  # where a linear layer reads whole patches
    assert len(backbone.first_layers) == (0 if naflex else 1)
    for name in backbone.first_layers:
        assert backbone.trunk.get_parameter(name).shape[1] == 5


def compose(backbone: str, settings: dict[str, Any], **branch: Any) -> fk.FusedModel:
    torch.manual_seed(0)
    options = {"config": settings}
    model = fk.compose(
        {
            "a": fk.Branch(backbone, weights=None, options=options, **branch),
            "b": fk.Branch(backbone, weights=None, options=options),
        },
        head="concat",
        num_classes=3,
    )
    perturb(model)
    return model


@pytest.mark.parametrize("family", SOME)
def test_a_frozen_branch_keeps_its_bits_and_the_other_learns(family: str) -> None:
    settings = {**IMAGES, **TEXTS}[family]
    model = compose(f"hf/{family}", settings, freeze=fk.Freeze.all())
    x = model.branches["a"].example(4)
    inputs = {"image": x} if isinstance(x, dict) else x
    model.eval()
    with torch.no_grad():
        vector = model.branches["a"](x, VECTOR).vector
    before = {name: value.clone() for name, value in model.branches["a"].state_dict().items()}
    optimizer = torch.optim.SGD(model.param_groups(lr=1e-3, weight_decay=0.1), momentum=0.9)
    for _ in range(2):
        loss = model.train()(inputs).square().mean()
        loss.backward()
        optimizer.step()
    dead = [
        name
        for name, value in model.branches["b"].named_parameters()
        if value.requires_grad and value.grad is None
    ]
    assert dead == []
    for name, value in model.branches["a"].state_dict().items():
        assert torch.equal(value, before[name]), name
    with torch.no_grad():
        assert torch.equal(model.branches["a"](x, VECTOR).vector, vector)


@pytest.mark.parametrize("family", ["deit", "resnet", "roberta"])
def test_the_kept_classifier_is_saved_and_loaded(family: str, tmp_path: Any) -> None:
    settings = {**IMAGES, **TEXTS}[family] | {"num_labels": CLASSES}
    options = {"config": settings, "architecture": CLASSIFIERS[family]}
    model = fk.compose(
        {name: fk.Branch(f"hf/{family}", weights=None, options=options) for name in "ab"},
        head="mean_logits",
        num_classes=CLASSES,
    ).eval()
    perturb(model)
    x = model.branches["a"].example(2)
    inputs: dict[str, Any] | Tensor = {"image": x} if isinstance(x, dict) else x
    again = fk.load(fk.save(model, tmp_path / "model"))
    with torch.no_grad():
        assert torch.equal(again.eval()(inputs), model(inputs))


@pytest.mark.parametrize("family", EVERY)
def test_built_without_data_it_declares_the_same(family: str) -> None:
    here = maker(family)()
    with torch.device("meta"):
        empty = maker(family)()
    assert all(value.is_meta for value in empty.parameters())
    for said in ("embed_dim", "levels", "stages", "fixed_size", "size_multiple", "first_layers"):
        assert getattr(empty, said) == getattr(here, said), said
    assert {n for n, v in empty.named_parameters() if v.requires_grad} == {
        n for n, v in here.named_parameters() if v.requires_grad
    }
    assert empty.state_dict().keys() == here.state_dict().keys()
