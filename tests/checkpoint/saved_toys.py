"""Toy models to save, and ways to change what was saved so that it looks untouched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from toys import TinyNet, ToyPlugin, perturb, toy_catalog

import fusionkit as fk
from fusionkit.saved.manifest import MANIFEST, write_manifest

INPUTS = {
    "image": torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)),
    "flow": torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(2)),
}


def toy_model(epoch: int = 3, **branches: fk.Branch) -> fk.FusedModel:
    """Gives a model with a frozen and a gradually thawing branch; each epoch has its own values."""
    default = {
        "rgb": fk.Branch("toy/tiny", weights=None, freeze=fk.Freeze.all()),
        "flow": fk.Branch(
            "toy/tiny",
            weights=None,
            input="flow",
            in_channels=5,
            freeze=fk.Freeze.gradual(every=2),
            lr=fk.LR(0.1, layer_decay=0.75),
        ),
    }
    torch.manual_seed(0)
    model = fk.compose(
        branches or default, head="toy/sum", num_classes=3, catalog=toy_catalog()
    ).set_epoch(epoch)
    perturb(model, epoch)
    return model.eval()


def fingerprints(model: nn.Module) -> dict[str, str]:
    """Gives type, shape and a hash of the bytes of every tensor, those that are not saved too."""
    values = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: fingerprint(value) for name, value in values.items()}


def fingerprint(value: Tensor) -> str:
    raw = value.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return f"{value.dtype} {tuple(value.shape)} {hashlib.sha256(raw.tobytes()).hexdigest()}"


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the config, and the manifest so that nothing shows."""
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    reseal(folder)


def reseal(folder: Path) -> None:
    """Writes a new manifest for what is in a folder."""
    (folder / MANIFEST).unlink(missing_ok=True)
    sums = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
        if file.name == "config.json" or file.name.startswith("model")
    }
    write_manifest(folder, sums)


def catalog_with(make: Callable[..., fk.Backbone]) -> fk.Catalog:
    """Gives the toys with another backbone under the name ``toy/tiny``."""

    class Changed(ToyPlugin):
        @fk.hookimpl
        def fusionkit_backbones(self):
            return {"tiny": make}

    return fk.Catalog().with_plugin("toy", Changed())


def plain_tiny(*, in_channels=3, weights=None, num_classes=None, width=16, declare=True):
    """Builds what ``toy/tiny`` does."""
    return TinyNet(in_channels, width, declare)
