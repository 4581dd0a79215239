"""Samples dealt into folds, so that each is scored by what has not seen it."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["FOLDS", "deal_folds", "draw_evenly"]

FOLDS = 5


def deal_folds(labels: Tensor, repeats: int) -> Tensor:
    """Gives each sample one of five folds, "r n", each class spread as evenly as it can be.

    The same labels give the same folds.

    Args:
        labels: "n".
        repeats: how often the samples are dealt, each time anew.
    """
    generator = torch.Generator().manual_seed(0)
    known = labels.cpu()
    dealt = torch.empty(repeats, len(known), dtype=torch.long)
    for turn in dealt:
        shuffled = torch.randperm(len(known), generator=generator)
        order = shuffled[known[shuffled].argsort(stable=True)]
        turn[order] = torch.arange(len(known)) % FOLDS
    return dealt.to(labels.device)


def draw_evenly(labels: Tensor, count: int) -> Tensor:
    """Gives the places of at most ``count`` samples, as many of each class as in all."""
    if len(labels) <= count:
        return torch.arange(len(labels), device=labels.device)
    generator = torch.Generator().manual_seed(0)
    shuffled = torch.randperm(len(labels), generator=generator).to(labels.device)
    order = shuffled[labels[shuffled].argsort(stable=True)]
    places = torch.linspace(0, len(labels) - 1, count, device=labels.device).round().long()
    return order[places].sort().values
