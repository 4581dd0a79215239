"""Weights from a folder: all of them, only safetensors, and nothing by guess."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from families import CLASSES, IMAGES, TEXTS, maker, perturb
from fusionkit_transformers.build import build_backbone
from safetensors.torch import load_file, save_file

import fusionkit as fk

VECTOR = fk.Reads(vector=True)


def save(folder: Path, family: str, architecture: str, **settings: Any) -> Any:
    """Writes a stock model as its own library does, and gives it."""
    import transformers

    torch.manual_seed(1)
    config = transformers.AutoConfig.for_model(family, **{**IMAGES, **TEXTS}[family], **settings)
    model = getattr(transformers, architecture)(config)
    perturb(model)
    model.eval().save_pretrained(folder)
    return model


def two_towers(folder: Path, family: str = "clip") -> Any:
    import transformers

    names = {"clip": ("CLIPConfig", "CLIPModel"), "siglip": ("SiglipConfig", "SiglipModel")}[family]
    torch.manual_seed(1)
    config = getattr(transformers, names[0])(
        vision_config=IMAGES[f"{family}_vision_model"], text_config=TEXTS[f"{family}_text_model"]
    )
    model = getattr(transformers, names[1])(config)
    perturb(model)
    model.eval().save_pretrained(folder)
    return model


def load(folder: Path, **arguments: Any) -> fk.Backbone:
    return build_backbone(f"local-dir:{folder}", weights="default", **arguments).eval()


STOCK = {
    "vit": "ViTModel",
    "deit": "DeiTModel",
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
    "dinov3_vit": "DINOv3ViTModel",
    "dinov3_convnext": "DINOv3ConvNextModel",
    "convnext": "ConvNextModel",
    "convnextv2": "ConvNextV2Model",
    "swin": "SwinModel",
    "swinv2": "Swinv2Model",
    "siglip_vision_model": "SiglipVisionModel",
    "clip_vision_model": "CLIPVisionModel",
    "resnet": "ResNetModel",
    "beit": "BeitModel",
    "clip_text_model": "CLIPTextModel",
    "siglip_text_model": "SiglipTextModel",
}


@pytest.mark.parametrize("family", sorted(STOCK))
def test_a_folder_gives_what_its_own_model_gives(family: str, tmp_path: Path) -> None:
    model = save(tmp_path, family, STOCK[family])
    backbone = load(tmp_path)
    x = backbone.example(2)
    with torch.no_grad():
        output = model(**x) if isinstance(x, dict) else model(x)
        vector = backbone(x, VECTOR).vector
    exact = 1e-6 if family == "siglip_vision_model" else 0  # whose tokens are laid out anew
    torch.testing.assert_close(vector, output.pooler_output.flatten(1), rtol=exact, atol=exact)
    assert backbone.weights == f"local-dir:{tmp_path}"
    assert backbone.base_model is None


@pytest.mark.parametrize(
    ("family", "architecture"),
    [("bert", "BertForMaskedLM"), ("roberta", "RobertaForMaskedLM"),
     ("distilbert", "DistilBertForMaskedLM"), ("modernbert", "ModernBertForMaskedLM")],
)  # fmt: skip
def test_a_language_model_gives_its_encoder(family: str, architecture: str, tmp_path: Path) -> None:
    model = save(tmp_path, family, architecture)
    backbone = load(tmp_path)
    x = backbone.example(2)
    with torch.no_grad():
        hidden = model.base_model(**x).last_hidden_state
        vector = backbone(x, VECTOR).vector
    mask = x["attention_mask"].unsqueeze(-1)
    torch.testing.assert_close(vector, (hidden * mask).sum(1) / mask.sum(1))


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize("tower", ["vision", "text"])
def test_each_tower_of_two(family: str, tower: str, tmp_path: Path) -> None:
    model = two_towers(tmp_path, family)
    backbone = load(tmp_path, tower=tower)
    x = backbone.example(2)
    half = getattr(model, f"{tower}_model")
    with torch.no_grad():
        stock = half(**x) if tower == "text" else half(pixel_values=x)
        torch.testing.assert_close(backbone(x, VECTOR).vector, stock.pooler_output)
    assert build_backbone(f"local-dir:{tmp_path}").stages[0].name == "stem"


def test_the_stock_classifier_comes_with_its_weights(tmp_path: Path) -> None:
    model = save(tmp_path, "vit", "ViTForImageClassification", num_labels=CLASSES)
    backbone = load(tmp_path, num_classes=CLASSES)
    x = backbone.example(2)
    with torch.no_grad():
        features = backbone(x, fk.Reads(logits=True, vector=True))
        assert torch.equal(features.logits, model(x).logits)
        assert torch.equal(load(tmp_path)(x, VECTOR).vector, features.vector)


def test_a_pooler_that_was_never_trained_is_not_read(tmp_path: Path) -> None:
    model = save(tmp_path, "vit", "ViTModel")
    tensors = load_file(tmp_path / "model.safetensors")
    bare = {name: value for name, value in tensors.items() if "pooler" not in name}
    save_file(bare, tmp_path / "model.safetensors", {"format": "pt"})
    backbone = load(tmp_path)
    x = backbone.example(2)
    with torch.no_grad():
        expected = model(x).last_hidden_state[:, 0]
        assert torch.equal(backbone(x, VECTOR).vector, expected)
    assert not any("pooler" in name for name, _ in backbone.named_parameters())
    assert backbone.dropped_keys == ("pooler.*",)
    with pytest.raises(fk.CheckpointError, match=r"2 missing \(pooler.dense.bias"):
        load(tmp_path, pooling="pooler")


def test_other_channels_are_adapted(tmp_path: Path) -> None:
    model = save(tmp_path, "convnext", "ConvNextModel")
    grey = load(tmp_path, in_channels=1)
    x = grey.example(2)
    with torch.no_grad():
        expected = model(x.expand(-1, 3, -1, -1)).pooler_output
        torch.testing.assert_close(grey(x, VECTOR).vector, expected)


def test_half_precision_is_loaded_in_full(tmp_path: Path) -> None:
    model = save(tmp_path, "vit", "ViTModel")
    model.half().save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float16"
    backbone = load(tmp_path)
    assert {value.dtype for value in backbone.parameters()} == {torch.float32}
    random = build_backbone(f"local-dir:{tmp_path}")
    assert {value.dtype for value in random.parameters()} == {torch.float32}


def test_shards_are_read(tmp_path: Path) -> None:
    model = save(tmp_path, "vit", "ViTModel")
    (tmp_path / "model.safetensors").unlink()
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    backbone = load(tmp_path)
    x = backbone.example(2)
    with torch.no_grad():
        assert torch.equal(backbone(x, VECTOR).vector, model(x).pooler_output)
    index = tmp_path / "model.safetensors.index.json"
    outside = json.loads(index.read_text())
    name = next(iter(outside["weight_map"]))
    outside["weight_map"][name] = "../elsewhere.safetensors"
    index.write_text(json.dumps(outside))
    with pytest.raises(fk.CheckpointError, match=r"names '\.\./elsewhere.safetensors'"):
        load(tmp_path)


def test_a_missing_and_an_unknown_name_are_errors(tmp_path: Path) -> None:
    save(tmp_path, "dinov2", "Dinov2Model")
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    less = {name: value for name, value in tensors.items() if name != "layernorm.bias"}
    save_file(less, file, {"format": "pt"})
    with pytest.raises(fk.CheckpointError, match=r"1 missing \(layernorm.bias\)"):
        load(tmp_path)
    save_file({**tensors, "strange": torch.ones(2)}, file, {"format": "pt"})
    with pytest.raises(fk.CheckpointError, match=r"1 that it does not have \(strange\).*ignored_"):
        load(tmp_path)
    assert load(tmp_path, ignored_keys=["strange"]).weights is not None


def test_a_key_inside_a_language_model_s_encoder_is_not_taken_for_a_head(tmp_path: Path) -> None:
    save(tmp_path, "bert", "BertForMaskedLM")
    file = tmp_path / "model.safetensors"
    save_file({**load_file(file), "bert.strange": torch.ones(2)}, file, {"format": "pt"})
    with pytest.raises(fk.CheckpointError, match="strange"):
        load(tmp_path)


def test_another_shape_is_an_error(tmp_path: Path) -> None:
    save(tmp_path, "vit", "ViTModel")
    with pytest.raises(fk.CheckpointError, match="do not fit ViTModel"):
        load(tmp_path, config={"image_size": 64})


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    model = save(tmp_path, "vit", "ViTModel")
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(fk.CheckpointError, match="pickled weights are not read"):
        load(tmp_path)


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    save(tmp_path, "vit", "ViTModel")
    (tmp_path / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    with pytest.raises(fk.CheckpointError, match="is no safetensors file"):
        load(tmp_path)


def test_a_folder_without_a_description_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(fk.ConfigError, match=r"holds no config\.json"):
        load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "nothing-like-it"}')
    with pytest.raises(fk.ConfigError, match="does not describe a model that this transformers"):
        load(tmp_path)


def test_code_of_a_folder_is_run_only_when_told_so(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from transformers import PretrainedConfig, ViTModel, ViTConfig\n"
        "class OwnConfig(ViTConfig):\n    model_type = 'own-thing'\n"
        "class OwnModel(ViTModel):\n    config_class = OwnConfig\n"
    )
    described = {
        **IMAGES["vit"],
        "model_type": "own-thing",
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"},
    }
    (tmp_path / "config.json").write_text(json.dumps(described))
    with pytest.raises(fk.ConfigError, match=r"brings its own Python code.*trust_remote_code"):
        build_backbone(f"local-dir:{tmp_path}")
    backbone = build_backbone(f"local-dir:{tmp_path}", trust_remote_code=True)
    assert type(backbone.trunk).__name__ == "OwnModel"
    assert backbone.embed_dim == 16


@pytest.mark.parametrize(
    ("family", "architecture"),
    [("vit", "ViTForImageClassification"), ("dinov2", "Dinov2Model"), ("swin", "SwinModel"),
     ("bert", "BertForMaskedLM"), ("clip", "")],
)  # fmt: skip
def test_a_saved_model_needs_neither_folder_nor_network(
    family: str, architecture: str, tmp_path: Path
) -> None:
    folder = tmp_path / "stock"
    two_towers(folder) if family == "clip" else save(folder, family, architecture)
    model = fk.compose(
        {name: fk.Branch(f"hf/local-dir:{folder}") for name in "ab"}, head="concat", num_classes=3
    ).eval()
    x = model.branches["a"].example(2)
    inputs = {"image": x} if isinstance(x, dict) else x
    saved = fk.save(model, tmp_path / "model")
    shutil.rmtree(folder)
    again = fk.load(saved)
    with torch.no_grad():
        assert torch.equal(again.eval()(inputs), model(inputs))
    assert again.branches["a"].stages == model.branches["a"].stages
    twice = fk.load(fk.save(again, tmp_path / "twice"))
    with torch.no_grad():
        assert torch.equal(twice.eval()(inputs), model(inputs))


def test_a_safetensors_file_of_the_trunk_s_own_names(tmp_path: Path) -> None:
    backbone = maker("vit")()
    save_file(backbone.trunk.state_dict(), tmp_path / "trunk.safetensors")
    model = fk.compose(
        {
            "a": fk.Branch(
                "hf/vit",
                weights=str(tmp_path / "trunk.safetensors"),
                options={"config": IMAGES["vit"]},
            )
        },
        head="concat",
        num_classes=3,
    )
    for name, value in backbone.trunk.state_dict().items():
        assert torch.equal(model.branches["a"].trunk.state_dict()[name], value)


def test_nothing_is_printed_and_no_setting_is_left_changed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    save(tmp_path, "bert", "BertForMaskedLM")
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    capfd.readouterr()
    load(tmp_path)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (level, bars)
