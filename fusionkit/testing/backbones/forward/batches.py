"""Whether a sample's answer depends on nothing but the sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from fusionkit.errors import DataError
from fusionkit.features import Features
from fusionkit.testing.backbones.forward.compare import NOISE, differences, named
from fusionkit.testing.backbones.forward.evaluation import tell_changed_input
from fusionkit.testing.backbones.forward.rounding import is_rounding
from fusionkit.testing.backbones.forward.steadiness import require_steady
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.inputs import first_of
from fusionkit.testing.words import some

__all__ = ["rows_are_independent", "takes_a_batch_of_one", "training_gives_the_same_form"]

LEAK = 1e-6
"""What another sample may change, as a part of the largest value, in a batch of the same size."""

LOUD = 100.0
"""How many times an image's usual values the other sample has."""


@check("make forward take a batch of one: write flatten(1) or mean((2, 3)), not squeeze()")
def takes_a_batch_of_one(subject: BackboneSubject) -> Iterator[Finding]:
    """A batch of one runs in eval mode; in train mode it runs, or is refused in plain words."""
    x = first_of(subject.example())
    backbone = subject.copy()
    yield from _forms(subject, subject.run(backbone, x), 1, "a batch of one")
    try:
        subject.run(backbone.train(), x)
    except (DataError, ValueError):  # as torch's own norms refuse it
        return
    except Exception as error:
        yield Finding(
            f"in train mode a batch of one raises {type(error).__name__}: {error}",
            "run it, or raise a fusionkit.DataError that says how many are needed",
        )


@check("make forward run in train mode")
def training_gives_the_same_form(subject: BackboneSubject) -> Iterator[Finding]:
    """In train mode as in eval mode ``fusionkit.Features`` of the declared shapes come out.

    The input and the modes of all modules stay what they are.
    """
    backbone, x = subject.copy().train(), subject.example()
    modes = {name: module.training for name, module in backbone.named_modules()}
    given = pytree.tree_map_only(Tensor, torch.clone, x)
    answer = subject.run(backbone, x)
    yield from _forms(subject, answer, 2, "train mode")
    changed = [name for name, module in backbone.named_modules() if module.training != modes[name]]
    if changed:
        yield Finding(
            f"forward changes the modes of {some(name or 'itself' for name in changed)}",
            "call no train() or eval() in forward; what is frozen is put in eval mode by the model",
        )
    yield from tell_changed_input(x, given, "in train mode ")


@check("make forward run on one sample as on two")
def rows_are_independent(subject: BackboneSubject) -> Iterator[Finding]:
    """In eval mode a sample's answer is the same, whatever other samples are in its batch."""
    require_steady(subject)
    try:
        alone: Any = subject.run(subject.copy(), first_of(subject.example()))
    except Exception as error:
        raise NotApplicableError("takes_a_batch_of_one says what is wrong") from error
    if list(_forms(subject, alone, 1, "")):
        raise NotApplicableError("takes_a_batch_of_one says what is wrong")
    first = _first_row(subject.answer)
    told = [
        f"alone in its batch, a sample's answer changes: {what}"
        for what in differences(alone, first, subject.reads)
    ]
    if told and is_rounding(subject, alone, first, NOISE):
        told = []
    for what in told or _changed_by_mates(subject, first):
        yield Finding(
            what,
            "take means, norms and softmax over a sample's own positions, never along the batch, "
            "and keep running statistics for eval mode (track_running_stats=True)",
        )


def _changed_by_mates(subject: BackboneSubject, first: Features) -> list[str]:
    """Gives a phrase for what changes in the first row when the others are far from what they were.

    The shapes stay, so that the same sums are taken in the same order and nothing is rounded
    otherwise: much smaller changes count than where the batch has another size.
    """

    def ask(x: Any) -> list[str]:
        answer = _first_row(subject.run(subject.copy(), x))
        return list(differences(answer, first, subject.reads, LEAK))

    def mix(mine: Any, other: Any) -> Any:
        if not isinstance(mine, Tensor) or not mine.ndim:
            return mine
        return torch.cat([mine[:1], (LOUD * other if subject.takes_images else other)[1:]])

    example = subject.example()
    mixed = pytree.tree_map(mix, example, subject.example(seed=1))
    try:
        leaks = ask(mixed)
    except DataError:  # it refuses such values, which it may
        return []
    if not leaks or ask(example):  # not the same to so many digits when nothing changed either
        return []
    return [f"with another sample beside it, a sample's answer changes: {what}" for what in leaks]


def _first_row(features: Features) -> Features:
    return Features(
        vector=None if features.vector is None else features.vector[:1],
        maps=tuple(value[:1] for value in features.maps),
    )


def _forms(subject: BackboneSubject, answer: Any, batch: int, where: str) -> Iterator[Finding]:
    """Gives what has not the form that the first answer in eval mode has."""
    if not isinstance(answer, Features):
        yield Finding(
            f"{where} gives {type(answer).__name__}",
            "return fusionkit.Features in both modes; leave auxiliary outputs out",
        )
        return
    came = named(answer, subject.reads)
    for name, value in named(subject.answer, subject.reads).items():
        expected = (batch, *value.shape[1:])
        found: Any = came.get(name)
        shape = tuple(found.shape) if isinstance(found, Tensor) else None
        if shape != expected:
            yield Finding(
                f"{where} gives a {name} of {shape}, expected {expected}",
                "give the same shapes in both modes and for any batch; squeeze() takes a batch of "
                "one away, flatten(1) does not",
            )
        elif found.dtype != value.dtype or (_is_finite(value) and not _is_finite(found)):
            yield Finding(
                f"{where} gives a {name} ({found.dtype}) that is not finite or not {value.dtype}",
                "look for statistics over one value, or a division by their deviation",
            )


def _is_finite(value: Tensor) -> bool:
    return value.is_meta or bool(torch.isfinite(value).all())
