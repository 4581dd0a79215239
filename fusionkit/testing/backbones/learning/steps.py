"""Training steps for a model under test: inputs, loss, optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils import _pytree as pytree

from fusionkit.features import Features
from fusionkit.model.fused import FusedModel
from fusionkit.testing.backbones.learning.places import BRANCH

__all__ = [
    "DECAY",
    "RATE",
    "judge_answer",
    "loss_of",
    "momentum",
    "on_branch",
    "other_mates",
    "suffixes",
    "vector_of",
]

MOST_SUFFIXES = 8
RATE = 1e-3
DECAY = 0.1


def suffixes(stage_count: int) -> list[int]:
    """Gives how many of the last stages are to learn: 1, 2, ... all; evenly eight of many."""
    if stage_count <= MOST_SUFFIXES:
        return list(range(1, stage_count + 1))
    last = MOST_SUFFIXES - 1
    return [1 + round(index * (stage_count - 1) / last) for index in range(MOST_SUFFIXES)]


def momentum(model: FusedModel) -> torch.optim.SGD:
    """Gives an optimizer that would move a parameter by momentum and by decay too."""
    return torch.optim.SGD(model.param_groups(lr=RATE, weight_decay=DECAY), momentum=0.9)


def loss_of(model: FusedModel, x: Any) -> Tensor:
    """Gives the loss of the only branch's input."""
    return judge_answer(model(on_branch(x)))


def judge_answer(logits: Tensor) -> Tensor:
    """Gives the cross-entropy against a fixed class for each sample."""
    labels = torch.arange(len(logits), device=logits.device) % logits.shape[1]
    return functional.cross_entropy(logits.float(), labels)


def on_branch(x: Any) -> dict[str, Any]:
    """Gives an input by its branch, as it has to be where inputs are mappings themselves."""
    return {BRANCH: x}


def vector_of(features: dict[str, Features]) -> Tensor:
    """Gives the only branch's vector."""
    vector = features[BRANCH].vector
    assert vector is not None
    return vector


def other_mates(x: Any, other: Any) -> Any:
    """Gives a batch with the first sample of one and the further samples of the other."""

    def mix(mine: Any, theirs: Any) -> Any:
        if isinstance(mine, Tensor) and mine.ndim:
            return torch.cat([mine[:1], theirs[1:]])
        return mine

    return pytree.tree_map(mix, x, other)
