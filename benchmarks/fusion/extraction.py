"""What a frozen branch gives for its images, computed once and kept in the temporary folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

import fusionkit as fk

__all__ = ["SHARED", "Extract", "UnavailableError", "compose", "extract", "extract_images"]

SHARED = Path(os.environ.get("FUSIONKIT_SHARED", "../shared")) / "data"
CACHE = Path(tempfile.gettempdir()) / "fusionkit-features"
BATCH = 16
FINEST = 16
"""The smallest stride of the maps that are kept; finer ones are large, and know little."""


class UnavailableError(Exception):
    """Data that are not there, and why."""


class Everything(fk.FusionHead):
    """Fuses nothing: it reads the vector and the coarse maps, so that the model gives both."""

    def __init__(self, inputs: Mapping[str, fk.HeadInput], num_classes: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.reads = {
            name: fk.Reads(vector=True, maps=coarse(each.levels)) for name, each in inputs.items()
        }

    def forward(self, features: Mapping[str, fk.Features]) -> Tensor:
        return torch.cat([each.vector for each in features.values()], 1)


def coarse(levels: Sequence[fk.Level]) -> tuple[int, ...]:
    """Gives the indices of the levels that are kept."""
    return tuple(index for index, level in enumerate(levels) if level.stride >= FINEST)


class EverythingPlugin:
    @fk.hookimpl
    def fusionkit_heads(self) -> dict[str, object]:
        return {"everything": Everything}


Extract = tuple[fk.Features, fk.HeadInput]
"""What a branch gives for all samples, and what it offers to a head."""


def find_branch(name: str) -> fk.Branch:
    """Gives a frozen network with the shared weights.

    Raises:
        UnavailableError: they are not there.
    """
    weights = {
        "squeezenet": "squeezenet1_1-winml_fp16",
        "mobilenetv1": "mobilenetv1_100-tf1_quant_in1k",
        "mobilenetv2": "mobilenetv2_100-tf1_quant_in1k",
    }[name]
    path = SHARED / "weights" / f"{weights}.safetensors"
    if not path.exists():
        raise UnavailableError(f"{path} is not there")
    if name == "squeezenet":
        return fk.Branch("torchvision/squeezenet1_1", weights=path, freeze=fk.Freeze.all())
    return fk.Branch(
        f"timm/{name}_100",
        weights=path,
        freeze=fk.Freeze.all(),
        options={"pad_type": "same"},
        preprocessing=fk.Preprocessing(mean=(128 / 255,) * 3, std=(128 / 255,) * 3, resize=256),
    )


def extract_images(name: str, paths: Sequence[Path]) -> Extract:
    """Gives what a branch of ``find_branch`` makes of images, computed once for these files."""
    branch = find_branch(name)
    model = compose({name: branch})
    stated = [(str(each), each.stat().st_size, each.stat().st_mtime) for each in paths]
    weights = Path(str(branch.weights)).stat()
    key = (branch, FINEST, weights.st_size, weights.st_mtime, stated, torch.__version__)
    file = CACHE / f"{hashlib.sha256(repr(key).encode()).hexdigest()}.safetensors"
    if not file.exists():
        prepare = model.recipe.branches[name].preprocessing.transform()
        batches = []
        for start in range(0, len(paths), BATCH):
            images = [Image.open(path).convert("RGB") for path in paths[start : start + BATCH]]
            batches.append(extract(model, torch.stack([prepare(each) for each in images]))[name][0])
        CACHE.mkdir(exist_ok=True)
        fresh = file.with_suffix(f".{os.getpid()}")
        save_file(to_tensors(batches), fresh)
        fresh.replace(file)
    return from_tensors(load_file(file)), offered(model)[name]


def compose(branches: Mapping[str, fk.Branch], catalog: fk.Catalog | None = None) -> fk.FusedModel:
    """Gives a model whose features are everything that is kept of its branches."""
    catalog = (catalog or fk.Catalog.installed()).with_plugin("frozen", EverythingPlugin())
    head = fk.Head("frozen/everything")
    return fk.compose(branches, head, num_classes=2, catalog=catalog).eval()


@torch.no_grad()
def extract(model: fk.FusedModel, inputs: Tensor | Mapping[str, Tensor]) -> dict[str, Extract]:
    """Gives what each branch of a model of ``compose`` makes of its inputs."""
    offers = offered(model)
    return {name: (each, offers[name]) for name, each in model.features(inputs).items()}


def offered(model: fk.FusedModel) -> dict[str, fk.HeadInput]:
    """Gives what each branch offers to a head, without the maps that are not kept."""
    return {
        name: fk.HeadInput(each.embed_dim, tuple(map(each.levels.__getitem__, coarse(each.levels))))
        for name, each in model.head.inputs.items()
    }


def to_tensors(batches: Sequence[fk.Features]) -> dict[str, Tensor]:
    """Joins batches, and names what they hold."""
    maps = zip(*(batch.maps for batch in batches), strict=True)
    joined = {f"map {index}": torch.cat(each) for index, each in enumerate(maps)}
    return joined | {"vector": torch.cat([batch.vector for batch in batches])}


def from_tensors(tensors: Mapping[str, Tensor]) -> fk.Features:
    """Gives back what ``to_tensors`` was given, in one batch."""
    maps = tuple(tensors[f"map {index}"] for index in range(len(tensors) - 1))
    return fk.Features(vector=tensors["vector"], maps=maps)
