"""Checkpoints that other projects trained: they load strictly and name what is on photographs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import fusionkit as fk

TENSORFLOW = fk.Preprocessing(mean=(128 / 255,) * 3, std=(128 / 255,) * 3, resize=256)
IMAGENET = {"ants": 310, "bees": 309}


@dataclass(frozen=True)
class Real:
    """One file, what it is of, and which shares of the photographs are right (top-1, top-5)."""

    file: str
    backbone: str
    ants: tuple[float, float]
    bees: tuple[float, float]
    preprocessing: fk.Preprocessing | None = TENSORFLOW
    options: dict[str, Any] = field(default_factory=lambda: {"pad_type": "same"})


FILES = (
    Real(
        "squeezenet1_1-winml_fp16",
        "torchvision/squeezenet1_1",
        ants=(0.429, 0.714),
        bees=(0.675, 0.892),
        preprocessing=None,
        options={},
    ),
    Real(
        "mobilenetv1_100-tf1_quant_in1k",
        "timm/mobilenetv1_100",
        ants=(0.800, 0.943),
        bees=(0.819, 0.952),
    ),
    Real(
        "mobilenetv2_100-tf1_quant_in1k",
        "timm/mobilenetv2_100",
        ants=(0.829, 0.957),
        bees=(0.831, 0.940),
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("real", FILES, ids=lambda real: real.file)
@torch.no_grad()
def test_a_real_checkpoint_is_as_right_as_is_known_of_it(real: Real, shared_data: Path) -> None:
    branch = fk.Branch(
        real.backbone,
        weights=shared_data / "weights" / f"{real.file}.safetensors",
        classifier=True,
        preprocessing=real.preprocessing,
        options=real.options,
    )
    model = fk.compose({"one": branch}, fk.Head("mean_probabilities"), num_classes=1000).eval()
    backbone = model.branches["one"]
    report = backbone.load_report
    assert set(report.loaded) == set(backbone.trunk.state_dict())
    assert not (report.missing)
    assert not (report.unexpected)
    assert not (report.ignored)
    assert not (report.kept)
    transform = backbone.preprocessing.transform()
    for title, expected in (("ants", real.ants), ("bees", real.bees)):
        paths = sorted((shared_data / "images/hymenoptera/val" / title).glob("*.jpg"))
        images = [transform(Image.open(path).convert("RGB")) for path in paths]
        logits = torch.cat([model(part) for part in torch.stack(images).split(16)])
        named = logits.topk(5).indices == IMAGENET[title]
        right = (named[:, 0].float().mean().item(), named.any(1).float().mean().item())
        # Two photographs more or less: decoders differ a little.
        assert right == pytest.approx(expected, abs=2 / len(paths)), title
