"""A folder of tiny images, a model of two branches, and what loads the one for the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from odd_toys import branch, build
from PIL import Image
from toys import perturb

import fusionkit as fk
from fusionkit.cache import FeatureLoader
from fusionkit.data import Augment, EpochSampler, PreparedDataset, Samples, open_samples

RAW = fk.Preprocessing(size=(16, 16), mean=(0.5,) * 3, std=(0.25,) * 3)
COUNT = 10


def write_images(folder: Path, count: int = COUNT) -> Path:
    """Writes images of two classes, each another, named 0.png and so on."""
    for number in range(count):
        write_image(folder / "train" / "ab"[number % 2] / f"{number}.png", number)
    return folder


def write_image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def samples_of(folder: Path) -> Samples:
    return open_samples(folder, "train")


def model_of(
    a: fk.Freeze | None = None, b: fk.Freeze | None = None, *, head: str = "odd/sum", **options
) -> fk.FusedModel:
    """Gives two branches of unlike sizes, frozen unless it is said otherwise."""
    torch.manual_seed(0)
    small = fk.Preprocessing(size=(12, 12), mean=(0.4,) * 3, std=(0.2,) * 3)
    made = build(
        {
            "a": branch("tiny", freeze=a or fk.Freeze.all(), preprocessing=RAW),
            "b": branch("tiny", freeze=b or fk.Freeze.all(), preprocessing=small),
        },
        head,
        2,
        **options,
    )
    perturb(made)
    return made


def loader_of(
    model: fk.FusedModel,
    folder: Path,
    cache=None,
    *,
    augment: Augment | None = None,
    broken: str = "stop",
    batch_size: int = 4,
    rank: int = 0,
    world: int = 1,
    shuffle: bool = True,
    **options,
) -> FeatureLoader:
    samples = samples_of(folder)
    dataset = PreparedDataset(samples, model, augment=augment, broken=broken, most_broken=0.5)
    sampler = EpochSampler(len(samples), batch_size, shuffle=shuffle, rank=rank, world=world)
    return FeatureLoader(model, dataset, sampler, cache=cache, **options)


def answers(model: fk.FusedModel, loader: FeatureLoader) -> dict[str, torch.Tensor]:
    """Gives the model's answer to each sample of an epoch, by id."""
    found = {}
    with torch.no_grad():
        for batch in loader:
            for name, answer in zip(batch.ids, model(batch.inputs, batch.features), strict=True):
                found[name] = answer
    return found
