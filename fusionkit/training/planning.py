"""``Plan``: what learns in which epoch and how fast, before a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from fusionkit.errors import ConfigError
from fusionkit.model.fused import FusedModel
from fusionkit.model.part import Part
from fusionkit.model.shapes import Shape, build_shape, choose_shape
from fusionkit.numbers import is_count

__all__ = ["Plan", "PlanRow", "plan"]


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One stage of a branch, or the head.

    Attributes:
        branch: the branch's name, or ``"head"``.
        stage: the stage's name; empty for the head.
        rates: the learning rate at the first step of each epoch; 0.0 while the stage is frozen.
        waits: the epoch from which on the stage may thaw on a plateau, whose time nobody knows;
            ``None`` where all is known.
        metric: which has to stall for that.
    """

    branch: str
    stage: str
    rates: tuple[float, ...]
    waits: int | None = None
    metric: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The learning rate of every stage in every epoch; print it, or draw it with ``draw_plan``.

    Attributes:
        rows: branch by branch, stem first, and the head at last.
        epochs: how many.
    """

    rows: tuple[PlanRow, ...]
    epochs: int

    def __str__(self) -> str:
        from fusionkit.training.plan_text import format_plan

        return format_plan(self)


def plan(
    model: FusedModel,
    epochs: int,
    *,
    lr: float,
    shape: str | Shape = "constant",
    steps_per_epoch: int = 1,
    **options: Any,
) -> Plan:
    """Gives what a run will do, from the policies alone; the model stays as it is.

    What thaws on a plateau is shown as frozen, with the first epoch at which it could thaw.

    Args:
        model: whose policies are followed.
        epochs: of the run.
        lr: the base rate, which the head has.
        shape: of the schedule, as ``model.lr_scheduler`` takes it.
        steps_per_epoch: calls of the scheduler's ``step()`` in an epoch.
        options: the schedule's own.

    Raises:
        ConfigError: ``epochs`` is no whole number, or there is no such schedule.
    """
    if not is_count(epochs) or not is_count(steps_per_epoch):
        raise ConfigError(
            "plan takes epochs and steps_per_epoch as whole numbers, at least 1; got "
            f"{epochs!r:.80} and {steps_per_epoch!r:.80}"
        )
    factors = _factors(shape, epochs, steps_per_epoch, options)
    rows = [
        _row(name, part, index, lr, factors)
        for name, part in model.parts.items()
        for index in range(len(part.anatomy.stages))
    ]
    rows.append(PlanRow("head", "", tuple(lr * factor for factor in factors)))
    return Plan(tuple(rows), epochs)


def _row(name: str, part: Part, index: int, lr: float, factors: list[float]) -> PlanRow:
    stage = part.anatomy.stages[index]
    slots = [slot for slot in part.anatomy.slots if slot.stage == index]
    rates = []
    for epoch, factor in enumerate(factors):
        learning = part.learning(epoch)
        scales = [part.rate(slot) for slot in slots if slot.name in learning]
        rates.append(lr * factor * part.warmth(index, epoch) * max(scales, default=0.0))
    if part.thaw_epoch(index) is not None or not any(s.name in part.learnable for s in slots):
        return PlanRow(name, stage, tuple(rates))
    freeze = part.branch.freeze
    turn = (len(part.reach.stages) - 1 - part.reach.stages.index(stage)) // freeze.stages
    known = part.thaws[-1] if part.thaws else max(1, freeze.start)
    waits = known + freeze.patience * (turn + 1 - len(part.thaws))
    return PlanRow(name, stage, tuple(rates), waits, freeze.metric)


def _factors(
    shape: str | Shape, epochs: int, steps_per_epoch: int, options: Mapping[str, Any]
) -> list[float]:
    """Gives the schedule's factor at the first step of each epoch, by running it on a rate of 1."""
    if shape == "plateau":
        return [1.0] * epochs
    made, chosen = choose_shape(shape, epochs * steps_per_epoch, steps_per_epoch, options)
    shadow = torch.optim.SGD([torch.zeros((), requires_grad=True)], lr=1.0, momentum=0.9)
    schedule = build_shape(made, shadow, chosen)
    factors = []
    for step in range((epochs - 1) * steps_per_epoch + 1):
        if step % steps_per_epoch == 0:
            factors.append(float(shadow.param_groups[0]["lr"]))
        shadow.step()
        schedule.step()
    return factors
