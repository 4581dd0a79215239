"""Whether the answer changes where other content stands in a part of what a head reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from fusionkit.features import Features, Reads
from fusionkit.head import FusionHead
from fusionkit.testing.heads.each import distance, own_scores, tensors
from fusionkit.testing.heads.subject import HeadCase

__all__ = [
    "DRAWS",
    "NOTICEABLE",
    "Exchange",
    "answer_and_own_scores",
    "counts",
    "exchange_branch",
    "exchange_field",
    "exchange_places",
    "fields",
    "with_field",
]

Exchange: TypeAlias = Callable[[dict[str, Features], dict[str, Features]], dict[str, Features]]
"""Puts a part of the second features into the place of the first's."""

NOTICEABLE = 1e-6
DRAWS = 4


def fields(reads: Reads) -> list[str]:
    """Gives what is read of one branch, in words, in the order of ``tensors``."""
    levels = [f"level {level}" for level in reads.levels]
    return ["the vector"] * reads.vector + levels + ["the logits"] * reads.logits


def with_field(features: Features, place: int, value: Tensor) -> Features:
    """Gives the features with another tensor in a place of ``tensors``."""
    if features.vector is not None:
        if place == 0:
            return features._replace(vector=value)
        place -= 1
    if place < len(features.maps):
        maps = (*features.maps[:place], value, *features.maps[place + 1 :])
        return features._replace(maps=maps)
    return features._replace(logits=value)


def exchange_branch(name: str) -> Exchange:
    """Exchanges all that is read of a branch."""
    return lambda old, new: {**old, name: new[name]}


def exchange_field(name: str, place: int, components: Sequence[int] | None = None) -> Exchange:
    """Exchanges one field of a branch, or some components, channels or classes of it."""

    def exchange(old: dict[str, Features], new: dict[str, Features]) -> dict[str, Features]:
        mine, theirs = tensors(old[name])[place], tensors(new[name])[place]
        if components is not None:
            mixed = mine.clone()
            mixed[:, components] = theirs[:, components]
            theirs = mixed
        return {**old, name: with_field(old[name], place, theirs)}

    return exchange


def exchange_places(name: str, place: int, where: Tensor) -> Exchange:
    """Exchanges what a map has in some places, "h w"."""

    def exchange(old: dict[str, Features], new: dict[str, Features]) -> dict[str, Features]:
        mine, theirs = tensors(old[name])[place], tensors(new[name])[place]
        return {**old, name: with_field(old[name], place, torch.where(where, theirs, mine))}

    return exchange


def _answer(head: FusionHead, features: Mapping[str, Features]) -> Tensor:
    answer: Tensor = head(features)
    return answer


def answer_and_own_scores(head: FusionHead, features: Mapping[str, Features]) -> Tensor:
    """Gives all that may depend on a field: some are read for what a branch says alone."""
    return torch.cat([head(features), *own_scores(head, features).values()], dim=1)


def counts(
    case: HeadCase,
    head: FusionHead,
    exchange: Exchange,
    ask: Callable[[FusionHead, Mapping[str, Features]], Tensor] = _answer,
) -> bool:
    """Tells whether the answer changes in one of several draws, for heads that choose or vote."""
    with torch.no_grad():
        for seed in range(DRAWS):
            old = case.features(batch=8, seed=seed)
            new = case.features(batch=8, seed=seed + DRAWS, scale=2.0)
            if distance(ask(head, exchange(old, new)), ask(head, old)) > NOTICEABLE:
                return True
    return False
