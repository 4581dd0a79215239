"""Recipes of toys in files, for the commands that train and use what was trained."""

from __future__ import annotations

from pathlib import Path

RECIPE = """\
branches:
  a: {backbone: toy/tiny, weights: null, options: {width: 8}, preprocessing: {size: [16, 16]}}
  b:
    backbone: toy/tiny
    weights: null
    options: {width: 8}
    preprocessing: {size: [16, 16]}
    freeze: all
head: toy/sum
training: {epochs: 1, batch_size: 4, lr: 1e-2, accelerator: cpu}
"""


def write_recipe(folder: Path, text: str = RECIPE, name: str = "job.yaml") -> Path:
    """Writes a recipe; gives its path."""
    path = folder / name
    path.write_text(text)
    return path
