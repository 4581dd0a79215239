"""A model is loaded without its tag being guessed, and without folder or hub."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf
from timm_zoo import perturb

import fusionkit as fk
from fusionkit.providers.timm.plugin import TimmModels


def images(side: int, channels: int = 3) -> torch.Tensor:
    return torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(0))


def refuse(*_: object, **__: object) -> Any:
    raise AssertionError("the hub or the folder was asked")


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Serves a folder in place of any repository of the hub."""
    folder = tmp_path / "hub"
    folder.mkdir()

    def fetch(repo_id: str, filename: str, **_: object) -> str:
        return str(folder / filename)

    monkeypatch.setattr("timm.models._hub.hf_hub_download", fetch)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    return folder


def close(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (
        "timm.models._hub.hf_hub_download",
        "huggingface_hub.hf_hub_download",
        "timm.models._hub.load_model_config_from_hf",
        "timm.models._hub.load_model_config_from_path",
    ):
        monkeypatch.setattr(place, refuse)


@torch.no_grad()
def test_a_tags_own_classifier_is_there_again(
    fetched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = timm.create_model("vit_tiny_patch16_224.augreg_in21k")
    assert stock.num_classes == 21843
    perturb(stock)
    save_file(stock.state_dict(), fetched / "model.safetensors")
    branch = fk.Branch("timm/vit_tiny_patch16_224", weights="augreg_in21k")
    monkeypatch.setattr(
        "timm.models._builder.load_state_dict_from_hf", lambda *_, **__: stock.state_dict()
    )
    model = fk.compose({"a": branch}, "mean_logits", 21843).eval()
    assert model.branches["a"].rebuild == ("vit_tiny_patch16_224.augreg_in21k", {})
    folder = fk.save(model, tmp_path / "model")
    close(monkeypatch)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", refuse)
    again = fk.load(folder)
    assert again.recipe == model.recipe
    assert again.branches["a"].weights == "vit_tiny_patch16_224.augreg_in21k"
    for one in (model, again):
        assert one.branches["a"].license == "apache-2.0"
        assert one.branches["a"].base_model == "timm/vit_tiny_patch16_224.augreg_in21k"
    assert torch.equal(again(images(224)), model(images(224)))


@pytest.fixture(
    params=[("test_resnet", {"drop_path_rate": 0.1}), ("vit_tiny_patch16_224", {"img_size": 64})],
    ids=["test_resnet", "vit_tiny_patch16_224"],
)
def stored(request: pytest.FixtureRequest, fetched: Path) -> Path:
    """Gives the folder with a model of 7 classes in it."""
    architecture, options = request.param
    stock = timm.create_model(architecture, num_classes=7, **options)
    perturb(stock)
    save_for_hf(stock, fetched, safe_serialization=True)
    return fetched


@pytest.mark.parametrize("weights", ["default", None])
@pytest.mark.parametrize("where", ["local-dir", "hf-hub"])
@torch.no_grad()
def test_a_folder_or_repository_is_not_needed_again(
    stored: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    weights: str | None,
    where: str,
) -> None:
    name = f"timm/local-dir:{stored}" if where == "local-dir" else "timm/hf-hub:some/thing"
    branch = fk.Branch(name, weights=weights)
    model = fk.compose({"a": branch}, "mean_logits", 7).eval()
    assert model.branches["a"].num_classes == 7
    folder = fk.save(model, tmp_path / "model")
    shutil.rmtree(stored)
    close(monkeypatch)
    for _ in range(2):
        again = fk.load(folder)
        assert again.recipe == model.recipe
        assert again.branches["a"].weights == model.branches["a"].weights
        assert again.branches["a"].preprocessing == model.branches["a"].preprocessing
        assert torch.equal(again(images(64)), model(images(64)))
        rates = [m.drop_prob for m in again.modules() if hasattr(m, "drop_prob")]
        assert rates == [m.drop_prob for m in model.modules() if hasattr(m, "drop_prob")]
        folder = fk.save(again, tmp_path / "again")
    said = (folder / "config.json").read_text().partition('"rebuild"')[2].partition('"head"')[0]
    assert said
    assert str(stored) not in said
    assert f'"name": "{name.partition("/")[2]}"' not in said


@torch.no_grad()
def test_what_is_written_beside_a_folder_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "source"
    save_for_hf(timm.create_model("test_resnet", num_classes=7), source, safe_serialization=True)
    branch = fk.Branch(f"timm/local-dir:{source}", in_channels=5, options={"drop_path_rate": 0.4})
    model = fk.compose({"a": branch}, "concat", 3).eval()
    folder = fk.save(model, tmp_path / "model")
    shutil.rmtree(source)
    again = fk.load(folder)
    assert torch.equal(again(images(64, 5)), model(images(64, 5)))
    assert max(m.drop_prob for m in again.modules() if hasattr(m, "drop_prob")) > 0.3


CONFIG: dict[str, Any] = {"pretrained_cfg": {"num_classes": 7}, "model_args": {}}


def test_a_saved_config_decides_the_classifier() -> None:
    backbone = TimmModels()["test_resnet"](num_classes=7, saved_config=CONFIG)
    assert backbone.num_classes == 7
    assert backbone.trunk.fc.weight.shape[0] == 7
    assert TimmModels()["test_resnet"](num_classes=7).num_classes is None


@pytest.mark.parametrize(
    ("name", "weights", "config", "cause"),
    [
        ("test_resnet", "default", CONFIG, "only with an architecture and weights=None"),
        ("test_resnet", None, 3, "must hold the mappings 'pretrained_cfg' and 'model_args'"),
        ("test_resnet", None, {"model_args": {}}, "must hold the mappings"),
        ("test_resnet", None, {**CONFIG, "more": 1}, "must hold the mappings"),
        (
            "test_resnet",
            None,
            {**CONFIG, "pretrained_cfg": {"num_classes": "7"}},
            "num_classes in `saved_config` must be a whole number, got '7'",
        ),
    ],
)
def test_a_wrong_saved_config_is_told(
    name: str, weights: str | None, config: Any, cause: str
) -> None:
    with pytest.raises(fk.OptionError, match=re.escape(cause)):
        TimmModels()[name](weights=weights, saved_config=config)
