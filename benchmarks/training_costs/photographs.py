"""JPEGs to train on: real photographs where they are, else made ones of the same size."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["CLASSES", "gather"]

SHARED = Path(os.environ.get("FUSIONKIT_SHARED", "../shared")) / "data"
CLASSES = ("ants", "bees")
SIZE = (341, 256)
GRAIN = 8


def gather(folder: Path, count: int) -> str:
    """Puts photographs into ``folder/train/CLASS``, half of each class, and says what they are.

    Args:
        folder: is made.
        count: of all classes together; at most 240 where they are real.
    """
    real = SHARED / "images" / "hymenoptera" / "train"
    for label, title in enumerate(CLASSES):
        there = folder / "train" / title
        there.mkdir(parents=True)
        wanted = (count + 1 - label) // len(CLASSES)
        if not real.is_dir():
            for number in range(wanted):
                _make(there / f"{number}.jpg", seed=number * len(CLASSES) + label)
            continue
        found = sorted((real / title).glob("*.jpg"))
        for path in found[:wanted]:
            shutil.copy(path, there)
    if real.is_dir():
        return f"{count} photographs of ants and bees, JPEG, shorter side 256"
    return f"{count} made pictures, JPEG of {SIZE[0]} x {SIZE[1]} (no photographs in {real})"


def _make(path: Path, seed: int) -> None:
    """Writes coarse noise under fine noise, which a decoder has as much work with as usual."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (SIZE[1] // GRAIN, SIZE[0] // GRAIN, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC), np.int16)
    noisy = smooth + rng.integers(-12, 13, smooth.shape)
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)
