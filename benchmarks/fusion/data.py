"""Data sets of two branches with frozen features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

import fusionkit as fk
from fusion.extraction import (
    SHARED,
    Extract,
    UnavailableError,
    compose,
    extract,
    extract_images,
)

__all__ = ["Pair", "find_pairs"]


@dataclass(frozen=True)
class Pair:
    """What two branches give for the same samples.

    Attributes:
        features: the vector "n d" and the maps "n c h w" of each branch.
        inputs: what each branch offers to a head.
        labels: "n".
        shots: samples of each class to learn from, in the few-shot draws.
        full: how many samples are learned from in the full draws; the others are the test.
    """

    features: Mapping[str, fk.Features]
    inputs: Mapping[str, fk.HeadInput]
    labels: Tensor
    shots: tuple[int, ...]
    full: int

    @classmethod
    def of(
        cls, given: Mapping[str, Extract], labels: Tensor, shots: tuple[int, ...], full: int
    ) -> Pair:
        """Gives the pair of two branches of which all is known."""
        features, inputs = ({name: each[part] for name, each in given.items()} for part in (0, 1))
        return cls(features, inputs, labels, shots, full)

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


def find_pairs() -> dict[str, Callable[[], Pair]]:
    """Gives what loads each data set; a call raises ``UnavailableError`` where it is not there."""
    return {
        "ants and bees, strong + weak": partial(read_ants_and_bees, "squeezenet", "mobilenetv2"),
        "ants and bees, two strong": partial(read_ants_and_bees, "mobilenetv1", "mobilenetv2"),
        "scenes, visible and near infrared": read_scenes,
        "digits, left and right half": read_digits,
    }


def read_ants_and_bees(one: str, other: str) -> Pair:
    """Reads photographs of ants and of bees."""
    folder = SHARED / "images" / "hymenoptera"
    paths = find_images(folder)
    labels = torch.tensor([path.parent.name == "bees" for path in paths]).long()
    return Pair.of(
        {name: extract_images(name, paths) for name in (one, other)}, labels, (5, 20), 244
    )


def read_scenes() -> Pair:
    """Reads scenes, each photographed twice."""
    folder = SHARED / "images" / "visnir9"
    paths = {kind: find_images(folder / kind) for kind in ("rgb", "nir")}
    names = sorted({path.parent.name for path in paths["rgb"]})
    labels = torch.tensor([names.index(path.parent.name) for path in paths["rgb"]])
    given = {kind: extract_images("mobilenetv2", each) for kind, each in paths.items()}
    return Pair.of(given, labels, (5,), 108)


def find_images(folder: Path) -> list[Path]:
    """Gives the images below a folder, in the order of their relative paths."""
    if not folder.is_dir():
        raise UnavailableError(f"{folder} is not there")
    return sorted(folder.rglob("*.jpg"), key=lambda path: path.relative_to(folder))


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
    halves = {"left": images[..., :4], "right": images[..., 4:]}
    branches = {
        name: fk.Branch(
            "bench/pixels", weights=None, input=name, in_channels=1, options={"width": 32}
        )
        for name in halves
    }
    model = compose(branches, fk.Catalog.installed().with_plugin("bench", PixelPlugin()))
    return Pair.of(extract(model, halves), torch.tensor(digits.target), (5, 20), 1000)
