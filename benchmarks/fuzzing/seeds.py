"""Valid inputs, small, from which the mutated ones are made, and the plugin that they name."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

import fusionkit as fk

__all__ = ["Seeds", "catalog", "make_seeds"]


class TinyNet(fk.Backbone):
    """A convolution and as many linear layers as the options ask for."""

    def __init__(self, in_channels: int, width: int, depth: int) -> None:
        super().__init__()
        self.in_channels, self.embed_dim = in_channels, width
        self.levels = (fk.Level(width, 2),)
        self.stages = (fk.Stage("stem"), fk.Stage("body"))
        self.first_layers = ("stem.weight",)
        self.stem = nn.Conv2d(in_channels, width, 3, 2, 1)
        self.body = nn.Sequential(*(nn.Linear(width, width) for _ in range(depth)))

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        grid = self.stem(x)
        maps = tuple(grid for _ in reads.levels)
        return fk.Features(vector=self.body(grid.mean((2, 3))), maps=maps)


def build_net(
    *,
    in_channels: int = 3,
    weights: str | None = None,
    num_classes: int | None = None,
    width: int = 4,
    depth: int = 1,
) -> TinyNet:
    """Builds the trunk; neither weights of its own nor a classifier."""
    return TinyNet(in_channels, width, depth)


class Plugin:
    """Offers the trunk as any plugin does."""

    @fk.hookimpl
    def fusionkit_backbones(self) -> dict[str, object]:
        return {"net": build_net}


def catalog() -> fk.Catalog:
    """Gives all installed plugins and the tiny one."""
    return fk.Catalog.installed().with_plugin("tiny", Plugin())


@dataclass(frozen=True)
class Seeds:
    """What is mutated.

    Attributes:
        files: safetensors files.
        sharded: a folder with an index of two shards.
        saved: folders that ``fusionkit.save`` wrote.
        recipes: texts, in JSON and in YAML.
    """

    files: tuple[bytes, ...]
    sharded: Path
    saved: tuple[Path, ...]
    recipes: tuple[str, ...]


def make_seeds(folder: Path) -> Seeds:
    """Writes the seeds; what is in the folder is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(0)
    net = TinyNet(3, 4, 1).state_dict()
    odd = {
        "a.b": torch.arange(4.0),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(1, dtype=torch.int64),
        "flag": torch.tensor([True, False]),
        "half": torch.ones(2, 2, dtype=torch.bfloat16),
    }
    wrapped = {f"module.{name}": value for name, value in net.items()}
    files = (save(net, {"format": "pt"}), save(odd), save(wrapped))
    small = _model(fk.Head("concat"), width=4)
    large = _model(fk.Head("mean_probabilities"), width=6, depth=2)
    saved = [fk.save(small, folder / "small"), fk.save(large, folder / "large")]
    saved.append(fk.save(large, folder / "shards", max_shard_size=1000))
    sharded = folder / "sharded"
    shutil.copytree(saved[-1], sharded)
    for name in ("config.json", "manifest.json", "README.md"):
        (sharded / name).unlink(missing_ok=True)
    recipes = [small.recipe, large.recipe, _long_recipe()]
    texts = [fk.format_recipe(recipe, form) for recipe in recipes for form in ("yaml", "json")]
    return Seeds(files, sharded, tuple(saved), (*texts, SHORT))


def _model(head: fk.Head, **options: int) -> fk.FusedModel:
    branches = {
        "rgb": fk.Branch("tiny/net", weights=None, options=options, freeze=fk.Freeze.all()),
        "flow": fk.Branch("tiny/net", weights=None, input="flow", in_channels=5),
    }
    return fk.compose(branches, head, num_classes=3, catalog=catalog())


def _long_recipe() -> fk.Recipe:
    weights = fk.Weights(
        "w/x.safetensors",
        rename={"encoder_q.": ""},
        ignore=("fc.*",),
        missing=("head.*",),
        resize=("pos_embed",),
        sha256="0" * 64,
    )
    branch = fk.Branch(
        "timm/test_vit",
        weights=weights,
        freeze=fk.Freeze.gradual(start=1, every=2),
        lr=fk.LR(0.1, layer_decay=0.75),
        preprocessing=fk.Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3, resize=256),
        branch_dropout=0.2,
        options={"img_size": 64, "list": [1, 2.5, None, {"a": "b"}]},
    )
    return fk.Recipe({"one": branch, "two": fk.Branch("tiny/net")}, fk.Head("concat", hidden=8), 5)


SHORT = """\
# short forms
branches:
  a: tiny/net
  b: &b
    backbone: tiny/net
    weights: hf-hub:owner/name@v1
    freeze: {last: 2}
    lr: 1e-1
  c: *b
head: concat
num_classes: 3
"""
