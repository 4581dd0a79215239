"""An image processor's settings as preprocessing, against what the processor itself computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_transformers.preprocess import read_preprocessing
from PIL import Image

import fusionkit as fk

HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
PROCESSORS: dict[str, dict[str, Any]] = {
    "vit": {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32},
            "resample": 2, **HALF},
    "dinov2": {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 36},
               "crop_size": {"height": 32, "width": 32}, "do_center_crop": True, "resample": 3},
    "clip": {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32},
             "crop_size": {"height": 32, "width": 32}, "resample": 3},
    "siglip": {"image_processor_type": "SiglipImageProcessor", "size": {"height": 32, "width": 32},
               "resample": 3, **HALF},
    "convnext": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 32},
                 "crop_pct": 0.875, "resample": 3},
    "convnext-large": {"image_processor_type": "ConvNextImageProcessor",
                       "size": {"shortest_edge": 384}, "resample": 3},
    "deit": {"image_processor_type": "DeiTImageProcessor", "size": {"height": 40, "width": 40},
             "crop_size": {"height": 32, "width": 32}, "resample": 3},
    "unscaled": {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32},
                 "do_rescale": False, "image_mean": [120.0, 110.0, 100.0],
                 "image_std": [60.0, 61.0, 62.0]},
    "unnormalised": {"image_processor_type": "ViTImageProcessor",
                     "size": {"height": 32, "width": 32}, "do_normalize": False},
}  # fmt: skip


def write(folder: Path, settings: dict[str, Any]) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def photograph() -> Image.Image:
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 255, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((88, 66), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("name", sorted(PROCESSORS))
def test_it_prepares_as_the_processor_does(name: str, tmp_path: Path) -> None:
    from transformers import AutoImageProcessor

    write(tmp_path, PROCESSORS[name])
    preprocessing = read_preprocessing(tmp_path, 3)
    assert preprocessing is not None
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    image = photograph()
    theirs = processor(image, return_tensors="pt")["pixel_values"][0]
    ours = preprocessing.transform()(image)
    assert ours.shape == theirs.shape
    scale = max(1.0, float(theirs.abs().max()))
    assert float((ours - theirs).abs().max()) / scale < 0.02


def test_other_channels_and_unknown_settings(tmp_path: Path) -> None:
    assert read_preprocessing(None, 3) is None
    assert read_preprocessing(tmp_path, 3) is None
    write(tmp_path, PROCESSORS["vit"])
    grey = read_preprocessing(tmp_path, 1)
    assert grey is not None
    assert grey.mean == (0.5,)
    write(tmp_path, {**PROCESSORS["vit"], "resample": 1})
    assert read_preprocessing(tmp_path, 3) is None  # no such resize in torch
    write(tmp_path, {**PROCESSORS["vit"], "do_resize": False})
    assert read_preprocessing(tmp_path, 3) is None


def test_a_processor_that_there_is_not(tmp_path: Path) -> None:
    write(tmp_path, {"image_processor_type": "NoSuchProcessor"})
    with pytest.raises(fk.ConfigError, match="does not describe an image processor"):
        read_preprocessing(tmp_path, 3)


def test_prepared_inside_of_the_model(tmp_path: Path) -> None:
    from test_loading import save

    save(tmp_path, "vit", "ViTModel")
    write(tmp_path, PROCESSORS["vit"])
    model = fk.compose(
        {"a": fk.Branch(f"hf/local-dir:{tmp_path}")},
        head="concat",
        num_classes=2,
        preprocess="inside",
    )
    assert model(torch.rand(2, 3, 50, 60)).shape == (2, 2)
