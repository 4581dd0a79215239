"""Small pictures on disk, and samples of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import fusionkit as fk
from fusionkit.data.sample import ListedSamples, Sample

SMALL = fk.Preprocessing(size=(8, 8), resize=10)
OTHER = fk.Preprocessing(size=(8, 8), resize=10, mean=(0.5,) * 3, std=(0.5,) * 3)


def noise(height: int = 12, width: int = 15, seed: int = 0, mode: str = "RGB") -> Image.Image:
    """Gives a picture of which every pixel is another."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def put(path: Path, seed: int = 0, **options: Any) -> Path:
    """Writes a picture and gives its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise(seed=seed).save(path, **options)
    return path


def put_tree(root: Path, *paths: str) -> Path:
    """Writes a picture at each path below a folder, and gives the folder."""
    for number, path in enumerate(paths):
        put(root / path, seed=number)
    return root


def listed(
    folder: Path, count: int = 6, classes: int = 2, input_name: str = "image"
) -> ListedSamples:
    """Gives samples of new PNG files, labelled in turn."""
    samples = [
        Sample(f"s{n}", {input_name: put(folder / f"s{n}.png", seed=n)}, n % classes)
        for n in range(count)
    ]
    return ListedSamples(samples, [f"c{n}" for n in range(classes)], (input_name,))
