"""Learning rates of a run that goes on with others than it began with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from fusionkit.training.resume.optimizer_state import group_names

__all__ = ["keep_initial_rates", "scale_rates"]


def keep_initial_rates(optimizer: Optimizer) -> None:
    """Notes in each group the rate that it was built with, as torch's schedulers do.

    A resume can then tell a rate that a loop has changed from one that was set otherwise.
    """
    for group in optimizer.param_groups:
        if "lr" in group:
            rate = group["lr"]
            group.setdefault("initial_lr", rate.clone() if isinstance(rate, Tensor) else rate)


def scale_rates(saved: Mapping[str, Any], optimizer: Optimizer, scheduler: object | None) -> None:
    """Sets each rate to the saved one times new over old, and the scheduler's to the new ones."""
    initial = []
    for title, group in zip(group_names(optimizer), optimizer.param_groups, strict=True):
        old = saved["groups"][title]["options"]
        new = float(group.get("initial_lr", group["lr"]))
        before = float(old.get("initial_lr", old["lr"]))
        rate = new if before == 0 else float(old["lr"]) * new / before
        group["lr"] = group["lr"].fill_(rate) if isinstance(group["lr"], Tensor) else rate
        initial.append(new)
    for each in (scheduler, *getattr(scheduler, "_schedulers", ())):  # those of a SequentialLR
        if hasattr(each, "base_lrs"):
            each.base_lrs = list(initial)
        if hasattr(each, "refresh"):
            each.refresh()
