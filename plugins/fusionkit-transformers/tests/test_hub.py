"""Repositories of a hub, served by a local one."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest
import torch
from fake_hub import COMMIT, GATED, FakeHub
from fusionkit_transformers.build import build_backbone
from test_loading import save

import fusionkit as fk

VECTOR = fk.Reads(vector=True)


def test_a_repository_is_loaded_and_saved_without_it(hub: FakeHub, tmp_path: Path) -> None:
    folder = hub.folder("owner/tiny-vit")
    stock = save(folder, "vit", "ViTModel")
    processor = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 32, "width": 32},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.25, 0.25, 0.25],
        "resample": 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    model = fk.compose({"a": fk.Branch("hf/owner/tiny-vit")}, head="concat", num_classes=3).eval()
    backbone = model.branches["a"]
    x = backbone.example(2)
    with torch.no_grad():
        assert torch.equal(backbone(x, VECTOR).vector, stock(x).pooler_output)
    assert backbone.weights == "owner/tiny-vit"
    assert backbone.base_model == "owner/tiny-vit"
    assert backbone.preprocessing == fk.Preprocessing(
        (32, 32), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "bicubic"
    )
    revisions = {
        line.split("/resolve/")[1].split("/")[0] for line in hub.requests if "resolve" in line
    }
    assert revisions == {"main", COMMIT}  # what comes after the first file is of its commit

    saved = fk.save(model, tmp_path / "model")
    hub.is_down = True
    hub.requests.clear()
    again = fk.load(saved)
    assert hub.requests == []
    with torch.no_grad():
        assert torch.equal(again.eval()(x), model(x))
    assert again.branches["a"].preprocessing == backbone.preprocessing


def test_random_weights_need_only_the_description(hub: FakeHub) -> None:
    folder = hub.folder("owner/only-described")
    save(folder, "dinov2", "Dinov2Model")
    (folder / "model.safetensors").unlink()
    backbone = build_backbone("owner/only-described")
    assert backbone.weights is None
    assert not any("safetensors" in line for line in hub.requests)
    with pytest.raises(fk.CheckpointError, match="pickled weights are not read"):
        build_backbone("owner/only-described", weights="default")


def test_shards_of_a_repository(hub: FakeHub) -> None:
    folder = hub.folder("owner/sharded")
    stock = save(folder, "vit", "ViTModel")
    (folder / "model.safetensors").unlink()
    stock.save_pretrained(folder, max_shard_size="10KB")
    backbone = build_backbone("owner/sharded@main", weights="default").eval()
    x = backbone.example(2)
    with torch.no_grad():
        assert torch.equal(backbone(x, VECTOR).vector, stock(x).pooler_output)


def test_an_unknown_repository(hub: FakeHub) -> None:
    with pytest.raises(fk.CheckpointError, match=r"no repository 'owner/nothing'.*local-dir"):
        build_backbone("owner/nothing", weights="default")


def test_a_repository_without_description(hub: FakeHub) -> None:
    (hub.folder("owner/empty") / "README.md").write_text("nothing")
    with pytest.raises(fk.ConfigError, match=r"owner/empty holds no config\.json"):
        build_backbone("owner/empty")


def test_a_closed_repository(hub: FakeHub) -> None:
    with pytest.raises(fk.CheckpointError, match=r"agreed to its licence.*hf auth login"):
        build_backbone(GATED, weights="default")


def test_no_network(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def refuse(*_: object, **__: object) -> None:
        raise OSError("[Errno 101] Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the client tries again, after pauses
    with pytest.raises(fk.CheckpointError, match=r"cannot fetch hf/owner/far.*local-dir:PATH"):
        build_backbone("owner/far", weights="default")
    assert hub.address == huggingface_hub.constants.ENDPOINT
