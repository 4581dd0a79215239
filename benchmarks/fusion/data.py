"""Data sets of two branches with frozen features, each computed once by a composed model."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import fusionkit as fk

SHARED = Path(os.environ.get("FUSIONKIT_SHARED", "../shared")) / "data"
CACHE = Path(tempfile.gettempdir()) / "fusionkit-features"
BATCH = 16


@dataclass(frozen=True)
class Pair:
    """Two branches' vectors of the same samples.

    Attributes:
        vectors: "n d" by branch.
        labels: "n".
        shots: samples of each class to learn from, in the few-shot draws.
        full: how many samples are learned from in the full draws; the others are the test.
    """

    vectors: Mapping[str, Tensor]
    labels: Tensor
    shots: tuple[int, ...]
    full: int

    def draw(self, shots: int | None, seed: int) -> tuple[Tensor, Tensor]:
        """Gives the rows to learn from and those to test on, by another draw for each seed."""
        order = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(seed))
        learned = torch.zeros(len(order), dtype=torch.bool)
        if shots is None:
            learned[order[: self.full]] = True
        else:
            for label in self.labels.unique():
                learned[order[self.labels[order] == label][:shots]] = True
        return learned.nonzero().squeeze(1), (~learned).nonzero().squeeze(1)


class UnavailableError(Exception):
    """A data set that is not there, and why."""


def find_pairs() -> dict[str, Callable[[], Pair]]:
    """Gives what loads each data set; a call raises ``UnavailableError`` where it is not there."""
    return {
        "ants and bees, strong + weak": partial(read_ants_and_bees, "squeezenet", "mobilenetv2"),
        "ants and bees, two strong": partial(read_ants_and_bees, "mobilenetv1", "mobilenetv2"),
        "scenes, visible and near infrared": read_scenes,
        "digits, left and right half": read_digits,
    }


def find_branch(name: str) -> fk.Branch:
    """Gives a frozen network with the shared weights."""
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


def read_ants_and_bees(one: str, other: str) -> Pair:
    """Reads photographs of ants and of bees."""
    folder = SHARED / "images" / "hymenoptera"
    paths = find_images(folder)
    labels = torch.tensor([path.parent.name == "bees" for path in paths]).long()
    vectors = {name: embed(name, paths) for name in (one, other)}
    return Pair(vectors, labels, (5, 20), 244)


def read_scenes() -> Pair:
    """Reads scenes, each photographed twice."""
    folder = SHARED / "images" / "visnir9"
    paths = {kind: find_images(folder / kind) for kind in ("rgb", "nir")}
    names = sorted({path.parent.name for path in paths["rgb"]})
    labels = torch.tensor([names.index(path.parent.name) for path in paths["rgb"]])
    vectors = {kind: embed("mobilenetv2", each) for kind, each in paths.items()}
    return Pair(vectors, labels, (5,), 108)


def find_images(folder: Path) -> list[Path]:
    """Gives the images below a folder, in the order of their relative paths."""
    if not folder.is_dir():
        raise UnavailableError(f"{folder} is not there")
    return sorted(folder.rglob("*.jpg"), key=lambda path: path.relative_to(folder))


def embed(name: str, paths: Sequence[Path]) -> Tensor:
    """Gives the vectors "n d" of images, computed once for these files and these weights."""
    branch = find_branch(name)
    stated = [(str(each), each.stat().st_size, each.stat().st_mtime) for each in paths]
    weights = Path(str(branch.weights)).stat()
    key = repr((branch, weights.st_size, weights.st_mtime, stated, torch.__version__))
    file = CACHE / f"{hashlib.sha256(key.encode()).hexdigest()}.safetensors"
    if not file.exists():
        CACHE.mkdir(exist_ok=True)
        fresh = file.with_suffix(f".{os.getpid()}")
        save_file({"vectors": compute(name, branch, paths)}, fresh)
        fresh.replace(file)
    return load_file(file)["vectors"]


@torch.no_grad()
def compute(name: str, branch: fk.Branch, paths: Sequence[Path]) -> Tensor:
    """Gives the vectors "n d" of images."""
    model = fk.compose({name: branch}, fk.Head("concat"), num_classes=2).eval()
    prepare = model.recipe.branches[name].preprocessing.transform()
    found = []
    for start in range(0, len(paths), BATCH):
        images = [Image.open(path).convert("RGB") for path in paths[start : start + BATCH]]
        found.append(model.features(torch.stack([prepare(each) for each in images]))[name].vector)
    return torch.cat(found)


class Pixels(fk.Backbone):
    """A backbone that learns nothing: the pixels as a vector."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_channels = 1
        self.embed_dim = width
        self.flatten = nn.Flatten()
        self.stages = (fk.Stage("flatten"),)

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        return fk.Features(vector=self.flatten(x))


def build_pixels(
    *, in_channels: int, weights: str | None, num_classes: int | None, width: int
) -> Pixels:
    """Builds it; what it does not know, it ignores."""
    return Pixels(width)


class PixelPlugin:
    @fk.hookimpl
    def fusionkit_backbones(self) -> dict[str, object]:
        return {"pixels": build_pixels}


def read_digits() -> Pair:
    """Cuts scikit-learn's digits in two."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UnavailableError("scikit-learn is not installed") from error
    digits = load_digits()
    images = torch.from_numpy(digits.images).float().unsqueeze(1) / 16
    catalog = fk.Catalog.installed().with_plugin("bench", PixelPlugin())
    halves = {"left": images[..., :4], "right": images[..., 4:]}
    branches = {
        name: fk.Branch(
            "bench/pixels", weights=None, input=name, in_channels=1, options={"width": 32}
        )
        for name in halves
    }
    model = fk.compose(branches, fk.Head("concat"), num_classes=10, catalog=catalog).eval()
    with torch.no_grad():
        vectors = {name: each.vector for name, each in model.features(halves).items()}
    return Pair(vectors, torch.tensor(digits.target), (5, 20), 1000)
