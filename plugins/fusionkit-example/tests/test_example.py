"""What a plugin should prove: it is found, it composes, it trains, it comes back from disk."""

from __future__ import annotations

from pathlib import Path

import torch

import fusionkit as fk

IMAGES = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def compose(**branch: object) -> fk.FusedModel:
    torch.manual_seed(0)
    return fk.compose(
        {
            "one": fk.Branch("example/tiny", weights=None, **branch),
            "two": fk.Branch("example/tiny", weights=None, options={"width": 8}),
        },
        head=fk.Head("example/average_vectors", width=32),
        num_classes=5,
    )


def test_the_plugin_is_found() -> None:
    catalog = fk.Catalog.installed()
    assert catalog.backbones("example") == ["example/tiny"]
    assert "example/average_vectors" in catalog.heads()


def test_every_parameter_gets_a_gradient() -> None:
    model = compose().train()
    model(IMAGES).square().mean().backward()
    assert [name for name, value in model.named_parameters() if value.grad is None] == []


def test_a_frozen_branch_does_not_move() -> None:
    model = compose(freeze=fk.Freeze.all())
    before = {k: v.clone() for k, v in model.branches["one"].state_dict().items()}
    optimizer = torch.optim.SGD(model.param_groups(lr=0.1, weight_decay=0.1), momentum=0.9)
    for _ in range(3):
        model.train()(IMAGES).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, value in model.branches["one"].state_dict().items():
        assert torch.equal(value, before[name]), name


def test_what_is_declared_is_what_comes_out() -> None:
    backbone = compose().branches["one"]
    features = backbone(IMAGES, fk.Reads(vector=True, maps=(0, 1)))
    assert features.vector.shape == (4, backbone.embed_dim)
    for level, map_ in zip(backbone.levels, features.maps, strict=True):
        assert map_.shape == (4, level.channels, 64 // level.stride, 64 // level.stride)


def test_saved_and_loaded_to_the_same_bits(tmp_path: Path) -> None:
    model = compose().eval()
    again = fk.load(fk.save(model, tmp_path / "model"))
    assert torch.equal(again(IMAGES), model(IMAGES))
