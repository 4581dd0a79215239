"""The sets of branches that a head is tried with, and features that fit them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from fusionkit.backbone.depth import Level
from fusionkit.features import Features, Reads
from fusionkit.head import HeadInput

__all__ = ["NAMES", "Extra", "Situation", "draw_features", "make_many", "make_situations"]

NAMES = ("audio", "image", "text")

CLASSES = 5
ROWS = 8
SIDE = 64

OFFERS = (
    HeadInput(10, (Level(6, 4), Level(10, 8))),
    HeadInput(14, (Level(4, 2), Level(7, 4), Level(12, 8), Level(16, 16))),
    HeadInput(6, (Level(5, 8), Level(9, 16), Level(8, 32))),
)
"""Widths, numbers of levels and strides that all differ, so that nothing fits by chance."""

EQUAL = HeadInput(9, (Level(6, 4), Level(8, 8)))

Extra: TypeAlias = Literal["absent", "filled", "nan"]


@dataclass(frozen=True, slots=True)
class Situation:
    """What a head is built for.

    Attributes:
        title: what it is, after "with".
        inputs: what the branches offer, by name, in alphabetical order.
        num_classes: what the head is asked for.
    """

    title: str
    inputs: Mapping[str, HeadInput]
    num_classes: int = CLASSES

    def with_classes(self, num_classes: int) -> Situation:
        """Gives the same for another number of classes; stock classifiers have as many."""
        inputs = {
            name: replace(each, num_classes=each.num_classes and num_classes)
            for name, each in self.inputs.items()
        }
        title = f"{self.title}, num_classes={num_classes}"
        return Situation(title, inputs, num_classes)


def make_situations(branches: Sequence[str] | Mapping[str, HeadInput]) -> tuple[Situation, ...]:
    """Gives one, two, three and more branches, with and without stock classifiers.

    Args:
        branches: their names, or what each offers.
    """
    if isinstance(branches, Mapping):
        given = dict(sorted(branches.items()))
    else:
        given = {name: OFFERS[i % len(OFFERS)] for i, name in enumerate(sorted(branches))}
    names = list(given)
    situations = []
    for count in range(1, len(names) + 1):
        title = f"{count} branch{'es' if count > 1 else ''}"
        some = {name: given[name] for name in names[:count]}
        situations.append(Situation(title, some))
        situations.append(Situation(f"{title} with classifiers", _classify(some, names)))
        if count > 2:
            part = _classify(some, names[0:count:2])
            situations.append(Situation(f"{title}, some with classifiers", part))
    if len(names) > 1:
        pair = names[:2]
        like = EQUAL if not isinstance(branches, Mapping) else given[names[0]]
        equal = dict.fromkeys(pair, like)
        situations.append(Situation("2 equal branches", equal))
        situations.append(Situation("2 equal branches with classifiers", _classify(equal, pair)))
        flat = {pair[0]: given[pair[0]], pair[1]: replace(given[pair[1]], levels=())}
        situations.append(Situation("2 branches, one without maps", flat))
    return tuple(situations)


def make_many(count: int) -> Situation:
    """Gives more branches than most heads are tried with, of three kinds by turns."""
    inputs = {f"branch{i}": OFFERS[i % len(OFFERS)] for i in range(count)}
    return Situation(f"{count} branches", inputs)


def _classify(inputs: Mapping[str, HeadInput], names: Sequence[str]) -> dict[str, HeadInput]:
    return {
        name: replace(each, num_classes=CLASSES) if name in names else each
        for name, each in inputs.items()
    }


def draw_features(
    inputs: Mapping[str, HeadInput],
    reads: Mapping[str, Reads],
    *,
    batch: int = 4,
    seed: int = 0,
    scale: float = 1.0,
    dtype: torch.dtype = torch.float32,
    size: tuple[int, int] = (SIDE, SIDE),
    requires_grad: bool = False,
    extra: Extra = "absent",
) -> dict[str, Features]:
    """Gives noise for each branch; the same seed gives the same rows in a batch of any size.

    Args:
        inputs: what the branches offer.
        reads: what is read of each, with its levels resolved.
        batch: how many samples.
        seed: another gives other content.
        scale: the size of a typical value.
        dtype: of all tensors.
        size: height and width of the images that the maps are of.
        requires_grad: whether the tensors are leaves that take gradients.
        extra: what stands where nothing is read.
    """

    def draw(own_seed: int, *shape: int, read: bool) -> Tensor | None:
        if not read and extra == "absent":
            return None
        if not read and extra == "nan":
            return torch.full((batch, *shape), torch.nan, dtype=dtype)
        generator = torch.Generator().manual_seed(own_seed)
        noise = torch.randn(max(batch, ROWS), *shape, generator=generator)[:batch]
        return (noise * scale).to(dtype).requires_grad_(requires_grad)

    features = {}
    for index, (name, each) in enumerate(inputs.items()):
        own = 1000 * seed + 100 * index
        read = reads[name]
        levels = read.levels or range(len(each.levels))
        maps = [
            draw(
                own + 2 + level,
                each.levels[level].channels,
                *(max(side // each.levels[level].stride, 1) for side in size),
                read=bool(read.levels),
            )
            for level in levels
        ]
        logits = None
        if read.logits or each.num_classes:
            logits = draw(own + 1, each.num_classes or CLASSES, read=read.logits)
        features[name] = Features(
            vector=draw(own, each.embed_dim, read=read.vector),
            maps=tuple(map_ for map_ in maps if map_ is not None),
            logits=logits,
        )
    return features
