"""A card tells what a model is made of, and its code runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from saved_toys import toy_model
from toys import toy_catalog

import fusionkit as fk


def real_model(**settings: Any) -> fk.FusedModel:
    branches = {
        "shape": fk.Branch("timm/test_resnet", weights=None, freeze=fk.Freeze.all()),
        "texture": fk.Branch(
            "torchvision/squeezenet1_1",
            weights=None,
            input="close",
            lr=fk.LR(0.1, layer_decay=0.75),
        ),
    }
    return fk.compose(branches, fk.Head("concat", hidden=8), 3, **settings)


def card_of(model: fk.FusedModel, folder: Path, card: fk.ModelCard | None = None) -> str:
    return (fk.save(model, folder, card=card) / "README.md").read_text(encoding="utf-8")


def code_of(text: str) -> str:
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("preprocess", ["outside", "inside"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_its_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preprocess: str, dtype: torch.dtype
) -> None:
    text = card_of(real_model(preprocess=preprocess).to(dtype), tmp_path / "pets")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code_of(text), names)
    assert names["answer"].shape == (1,)
    assert "pip install torch-fusionkit\n" in text


def test_a_plugin_given_in_python_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = card_of(toy_model(), tmp_path / "pets")
    assert "# catalog: an fk.Catalog with the plugins that this model was built with" in text
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"catalog": toy_catalog()}
    exec(code_of(text).replace("branch.example(1)", "branch.example(1)[..., :8, :8]"), names)
    assert names["answer"].shape == (1,)


def test_a_name_on_the_hub_is_what_is_loaded(tmp_path: Path) -> None:
    text = card_of(real_model(), tmp_path / "x", fk.ModelCard(name="somebody/pets"))
    assert "model = fk.from_pretrained('somebody/pets')" in text
    assert "\n# pets\n" in text


def test_further_plugins_are_installed_too(tmp_path: Path) -> None:
    model = real_model()
    model.provenance["shape"] = "fusionkit-example 1.2"
    text = card_of(model, tmp_path / "x")
    assert "pip install torch-fusionkit fusionkit-example\n" in text


def test_it_tells_what_the_model_is_made_of(tmp_path: Path) -> None:
    model = real_model()
    shape = model.branches["shape"]
    shape.weights, shape.license, shape.base_model = "r160_in1k", "mit", "timm/test_resnet.r160"
    text = card_of(model, tmp_path / "pets").replace("\n", " ")
    parameters = f"{sum(parameter.numel() for parameter in model.parameters()):,}"
    for said in (
        f"`timm/test_resnet`, `torchvision/squeezenet1_1`, fused by `concat`: {parameters} param",
        "### shape  - Backbone: `timm/test_resnet`, from torch-fusionkit",
        "`r160_in1k`, [timm/test_resnet.r160](https://huggingface.co/timm/test_resnet.r160); "
        "licence, as their provider states it: mit",
        "- Input: `image`, 3 channels, 160 x 160 pixels",
        "- Weights that it began with: random ones - Input: `close`, 3 channels, 224 x 224 pixels",
        "Preparation, to be done before: the shorter side resized to 256 pixels (bilinear), the "
        "centre of 224 x 224 cut out, scaled to [0, 1], mean (0.485, 0.456, 0.406), standard",
        "- Freezing: `all`; learning rate, in multiples of the base rate: `1`",
        '- Freezing: `none`; learning rate, in multiples of the base rate: `{"scale": 0.1, "layer',
        '`concat` with `{"hidden": 8}`, from torch-fusionkit',
        "3 classes.",
    ):
        assert said in text, said


def test_a_licence_that_nobody_states_is_said_to_be_missing(tmp_path: Path) -> None:
    model = real_model()
    model.branches["texture"].weights = "IMAGENET1K_V1"
    text = card_of(model, tmp_path / "pets")
    assert "`IMAGENET1K_V1`; licence, as their provider states it: not stated" in text


def test_a_model_that_prepares_its_inputs_says_so(tmp_path: Path) -> None:
    text = card_of(real_model(preprocess="inside"), tmp_path / "pets")
    assert "Preparation, done by the model itself:" in text
    assert "inputs['close'] = torch.rand(1, 3, 224, 224)  # raw, uint8 or in [0, 1]" in text


def test_what_its_owner_says_stands_in_it(tmp_path: Path) -> None:
    card = fk.ModelCard(
        description="Tells **pets** apart.\n",
        dataset="Oxford | pets",
        metrics={"accuracy": 0.9312},
        classes=["cat", "dog", "<b>_bird_"],
    )
    text = card_of(real_model(), tmp_path / "pets", card)
    assert "\n\nTells **pets** apart.\n\n" in text
    assert "On Oxford \\| pets:\n\n| metric | value |\n|---|---|\n| accuracy | 0.9312 |\n" in text
    assert "0. cat\n1. dog\n2. \\<b\\>\\_bird\\_\n" in text


def test_names_of_classes_must_be_as_many_as_there_are(tmp_path: Path) -> None:
    with pytest.raises(fk.ConfigError, match=r"has 2 names, but the model tells 3 classes apart"):
        card_of(real_model(), tmp_path / "pets", fk.ModelCard(classes=["a", "b"]))


@pytest.mark.parametrize("card", [{"license": "mit"}, "# Pets"])
def test_what_is_no_card_is_refused(tmp_path: Path, card: Any) -> None:
    with pytest.raises(fk.ConfigError, match=r"card is a fusionkit\.ModelCard\(\.\.\.\), got"):
        card_of(real_model(), tmp_path / "pets", card)
