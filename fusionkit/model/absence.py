"""Branches that are absent: at inference by their inputs, in training by branch dropout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.errors import AssemblyError
from fusionkit.features import Features
from fusionkit.head import FusionHead

__all__ = ["check_branch_dropout", "fuse_with_dropout"]


def check_branch_dropout(head: FusionHead, title: str, rates: Mapping[str, float]) -> None:
    """Refuses branch dropout where the head has no answer for an absent branch.

    Raises:
        AssemblyError: names the head, and what to write instead.
    """
    dropped = [name for name, rate in rates.items() if rate]
    if not dropped:
        return
    if len(rates) == 1:
        raise AssemblyError(
            f"branch {dropped[0]!r} is the only one, so branch_dropout can never drop it; "
            "leave branch_dropout out"
        )
    if not head.takes_missing:
        raise AssemblyError(
            f"branch {dropped[0]!r} has branch_dropout, but the head {title!r} needs every branch; "
            "leave branch_dropout out, or choose a head that takes missing branches, such as "
            "'mean_probabilities'"
        )
    for path, module in head.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise AssemblyError(
                f"branch {dropped[0]!r} has branch_dropout, with which the head sees parts of a "
                f"batch, but {path!r} of the head {title!r} is a batch norm; write norm='layer', "
                "or leave branch_dropout out"
            )


def fuse_with_dropout(
    head: FusionHead, features: Mapping[str, Features], rates: Mapping[str, float]
) -> Tensor:
    """Gives the head's answer "b k", with whole branches dropped at random for each sample.

    Each sample loses each branch with that branch's rate, and keeps at least one (ModDrop,
    Neverova et al., arXiv:1501.00102). The head answers for a sample exactly as it would at
    inference with these branches absent: samples that keep the same branches go through it
    together.

    Args:
        head: answers for any of the branches.
        features: of all branches, with the batch first.
        rates: in [0, 1), by branch.
    """
    names = list(features)
    batch = _batch_of(features[names[0]])
    kept = _draw(batch, [rates[name] for name in names])
    patterns, group = torch.unique(kept, dim=0, return_inverse=True)
    answers = []
    rows = []
    for index, pattern in enumerate(patterns):
        chosen = (group == index).nonzero().flatten()
        present = {
            name: _take(features[name], chosen)
            for name, keeps in zip(names, pattern.tolist(), strict=True)
            if keeps
        }
        answers.append(head(present))
        rows.append(chosen)
    order = torch.cat(rows).argsort()
    fused: Tensor = torch.cat(answers)
    return fused[order.to(fused.device)]


def _draw(batch: int, rates: list[float]) -> Tensor:
    """Gives which branches each sample keeps, "b n", at least one; drawn on the CPU."""
    kept = torch.rand(batch, len(rates)) >= torch.tensor(rates)
    last = torch.randint(len(rates), (batch,))
    empty = ~kept.any(1)
    kept[empty, last[empty]] = True
    return kept


def _take(features: Features, rows: Tensor) -> Features:
    def take(value: Tensor | None) -> Any:
        return None if value is None else value.index_select(0, rows.to(value.device))

    return Features(take(features.vector), tuple(map(take, features.maps)), take(features.logits))


def _batch_of(features: Features) -> int:
    for value in (features.vector, *features.maps, features.logits):
        if value is not None:
            return value.shape[0]
    raise AssemblyError("a branch gave nothing for the head to read")
