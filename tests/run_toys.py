"""Folders of tiny pictures, and jobs of toys that learn from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from toys import toy_catalog

import fusionkit as fk
from fusionkit.runs.settings import DataSettings, Job, TrainingSettings

BRIGHTNESS = {"dark": 50, "light": 200, "mid": 125}
SIZE = 16
TAKES = fk.Preprocessing(size=(SIZE, SIZE))


def put_picture(path: Path, brightness: int = 128, seed: int = 0, mode: str = "RGB") -> Path:
    """Writes a picture of noise around a brightness, of just the size that the toys take."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(brightness, 30, (SIZE, SIZE, 3))
    Image.fromarray(noise.clip(0, 255).astype(np.uint8)).convert(mode).save(path)
    return path


def put_pictures(
    folder: Path, classes: Sequence[str] = ("dark", "light"), *, train: int = 6, val: int = 3
) -> Path:
    """Writes a folder ``SPLIT/CLASS/FILE``; gives it."""
    for split, count in (("train", train), ("val", val)):
        for name in classes:
            for number in range(count):
                seed = number + 100 * (split == "val")
                put_picture(folder / split / name / f"{number}.png", BRIGHTNESS[name], seed)
    return folder


def truncate(path: Path) -> None:
    """Cuts a file in two and keeps the first half."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def branch(name: str = "tiny", **fields: Any) -> fk.Branch:
    """Gives a branch of a toy that takes the pictures as they are."""
    options = {"width": 8} if name == "tiny" else {}
    return fk.Branch(f"toy/{name}", weights=None, preprocessing=TAKES, options=options, **fields)


def job_of(
    source: Path | None,
    *,
    freeze: fk.Freeze | None = None,
    other: fk.Freeze | None = None,
    head: str = "sum",
    data: dict[str, Any] | None = None,
    recipe: dict[str, Any] | None = None,
    **training: Any,
) -> Job:
    """Gives a job of two toys: ``a`` learns as ``freeze`` says, ``b`` is frozen but for ``other``.

    Args:
        source: the folder of pictures.
        freeze: of ``a``; by default all of it learns.
        other: of ``b``.
        head: of the toy plugin.
        data: fields of ``DataSettings``.
        recipe: fields of ``Recipe``.
        training: fields of ``TrainingSettings``; by default two epochs of three batches.
    """
    made = fk.Recipe(
        branches={
            "a": branch(freeze=freeze or fk.Freeze.none()),
            "b": branch(freeze=other or fk.Freeze.all()),
        },
        head=fk.Head(head if "/" in head else f"toy/{head}"),
        **(recipe or {}),
    )
    settings = {"epochs": 2, "batch_size": 4, "lr": 1e-2, "accelerator": "cpu", **training}
    return Job(
        made,
        DataSettings(source=None if source is None else str(source), **(data or {})),
        TrainingSettings(**settings),
    )


class Words(fk.Backbone):
    """Takes a mapping of ``ids`` "b n", which it makes of the lengths of a text's words."""

    takes_images = False

    def __init__(self) -> None:
        super().__init__()
        self.embed_dim = 4
        self.encode = word_lengths
        self.stages = (fk.Stage("embed"),)
        self.embed = nn.Embedding(20, 4, padding_idx=0)

    def example(self, batch: int = 2) -> dict[str, Tensor]:
        return {"ids": torch.arange(batch * 3).reshape(batch, 3) % 20}

    def check_input(self, x: Any) -> None:
        if not isinstance(x, dict) or set(x) != {"ids", "attention_mask"}:
            raise fk.DataError(f"takes a mapping of ids, got {x!r:.80}")

    def forward(self, x: dict[str, Tensor], reads: fk.Reads) -> fk.Features:
        return fk.Features(vector=self.embed(x["ids"]).sum(1))


def word_lengths(text: str) -> dict[str, Tensor]:
    """Gives the length of each word of a text."""
    ids = torch.tensor([len(word) for word in text.split()])
    return {"ids": ids, "attention_mask": torch.ones_like(ids)}


def make_words(
    *, in_channels: int = 3, weights: None = None, num_classes: int | None = None
) -> Words:
    """Gives ``Words``, which has no weights and no classifier to keep."""
    return Words()


class WordsPlugin:
    """Offers ``Words``, as ``words/words``."""

    @fk.hookimpl
    def fusionkit_backbones(self) -> dict[str, Any]:
        return {"words": make_words}


CATALOG = toy_catalog().with_plugin("words", WordsPlugin())
