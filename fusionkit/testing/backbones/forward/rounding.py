"""Tells faults from rounding, which a deep network of random weights may make as large as they."""

from __future__ import annotations

from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from fusionkit.features import Features
from fusionkit.testing.backbones.forward.compare import deviation, named
from fusionkit.testing.backbones.subject import BackboneSubject

__all__ = ["BLURRED", "is_rounding"]

GRAINS = 8
"""By how many roundings the input and each parameter are moved."""

SLACK = 4
"""How many times what that moves may have come of rounding."""

BLURRED = "with random weights the network makes as much of rounding alone: nothing can be told"

_MOVED: WeakKeyDictionary[BackboneSubject, dict[torch.dtype, dict[str, float]]] = (
    WeakKeyDictionary()
)


def is_rounding(
    subject: BackboneSubject,
    got: Features,
    wanted: Features,
    tolerance: float,
    dtype: torch.dtype = torch.float32,
) -> bool:
    """Tells whether an answer is off by no more than rounding may bring.

    What is in no relation to it, another shape or form, is not.

    Args:
        subject: whose answer.
        got: the answer.
        wanted: what it should be.
        tolerance: what is not counted anyhow, as a part of the largest value.
        dtype: in which is rounded.
    """
    ours, theirs = named(got, subject.reads), named(wanted, subject.reads)
    moved = _moved(subject, dtype)
    return ours.keys() == theirs.keys() == moved.keys() and all(
        deviation(ours[name], value) <= max(tolerance, SLACK * moved[name])
        for name, value in theirs.items()
    )


def _moved(subject: BackboneSubject, dtype: torch.dtype) -> dict[str, float]:
    """Gives how far each tensor goes, as a part of its largest value, where all is blurred."""
    known = _MOVED.setdefault(subject, {})
    if dtype not in known:
        blur = partial(
            _blur,
            size=GRAINS * torch.finfo(dtype).eps,
            generator=torch.Generator().manual_seed(0),
        )
        backbone = subject.copy()
        first = named(subject.run(backbone, subject.example()), subject.reads)
        with torch.no_grad():
            for value in backbone.parameters():
                value.copy_(blur(value))
        x = pytree.tree_map_only(Tensor, blur, subject.example())
        answer = named(subject.run(backbone, x), subject.reads)
        known[dtype] = {name: deviation(answer[name], value) for name, value in first.items()}
    return known[dtype]


def _blur(value: Tensor, size: float, generator: torch.Generator) -> Tensor:
    """Moves each number by up to a part of it; what is no fraction, such as a token, stays."""
    if not value.is_floating_point() or value.is_meta:
        return value
    noise = torch.empty(value.shape, dtype=torch.float32).uniform_(-1, 1, generator=generator)
    return value.detach() * (1 + size * noise.to(value.device, value.dtype))
