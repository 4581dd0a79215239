"""Any torch scheduler's shape over groups that keep the ratios of their rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_schedulers
from torch.optim.lr_scheduler import LRScheduler

from fusionkit.errors import ConfigError, PolicyError, did_you_mean

if TYPE_CHECKING:
    from fusionkit.model.fused import FusedModel

__all__ = ["PolicyScheduler", "build_scheduler"]

Shape = Callable[..., LRScheduler]

SHAPES: Mapping[str, tuple[str, Mapping[str, Any], Mapping[str, str]]] = {
    # name: torch's class, our defaults, torch's name for total_steps
    "constant": ("ConstantLR", {"factor": 1.0, "total_iters": 0}, {}),
    "linear": (
        "LinearLR",
        {"start_factor": 1.0, "end_factor": 0.0},
        {"total_steps": "total_iters"},
    ),
    "step": ("StepLR", {}, {}),
    "multistep": ("MultiStepLR", {}, {}),
    "exponential": ("ExponentialLR", {}, {}),
    "polynomial": ("PolynomialLR", {}, {"total_steps": "total_iters"}),
    "cosine": ("CosineAnnealingLR", {}, {"total_steps": "T_max"}),
    "cosine_restarts": ("CosineAnnealingWarmRestarts", {}, {}),
    "one_cycle": ("OneCycleLR", {"max_lr": 1.0}, {}),
    "cyclic": ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0}, {}),
    "plateau": ("ReduceLROnPlateau", {}, {}),
}


class PolicyScheduler(LRScheduler):
    """Multiplies every group's own rate by one shape, and by its warm-up after a thaw.

    The shape is a torch scheduler that runs on a rate of 1, so that its rates are the common
    factor: ratios between groups stay as the policies say, whatever the shape. Rates given to
    it (``max_lr``, ``eta_min``, ``base_lr``) are therefore multiples of each group's own rate.
    Its momentum, where it cycles it, is handed on as it is.
    """

    def __init__(
        self,
        model: FusedModel,
        optimizer: Optimizer,
        shape: Shape,
        steps_per_epoch: int | None,
        options: Mapping[str, Any],
    ) -> None:
        self._model = model
        self._places = model.group_stages()
        self._steps_per_epoch = steps_per_epoch
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", float(group["lr"]))
            if group.get("name") not in self._places and group.get("name") not in HEAD_GROUPS:
                raise PolicyError(
                    f"the optimizer has a group {group.get('name')!r} that is not of this model; "
                    "build it from model.param_groups(lr=...)"
                )
        self._shadow = _shadow_of(optimizer)
        self.shape = shape(self._shadow, **options)
        super().__init__(optimizer)

    def get_lr(self) -> list[float | torch.Tensor]:
        """Gives the rate of each group: base x shape x warm-up."""
        factor = float(self._shadow.param_groups[0]["lr"])
        return [
            base * factor * self._warmth(group.get("name", ""))
            for base, group in zip(self.base_lrs, self.optimizer.param_groups, strict=True)
        ]

    def step(self, *arguments: Any) -> None:
        """Advances by one step; the plateau shape takes the metric that it watches."""
        if self.last_epoch >= 0:
            self._shadow.step()  # moves nothing; torch wants it before the scheduler's step
            self.shape.step(*arguments)
        self.last_epoch += 1
        self._step_count = getattr(self, "_step_count", 0) + 1
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
            for name in ("momentum", "betas"):
                if name in group and self._cycles_momentum():
                    group[name] = self._shadow.param_groups[0][name]
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Gives what a resumed run needs: plain numbers, no model."""
        return {
            "last_epoch": self.last_epoch,
            "base_lrs": list(self.base_lrs),
            "shape": self.shape.state_dict(),
            "factor": self._shadow.param_groups[0]["lr"],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from what ``state_dict`` gave."""
        self.last_epoch = state_dict["last_epoch"]
        self.base_lrs = list(state_dict["base_lrs"])
        self.shape.load_state_dict(state_dict["shape"])
        self._shadow.param_groups[0]["lr"] = state_dict["factor"]

    def _warmth(self, group: str) -> float:
        if group not in self._places:
            return 1.0
        epoch: float = self._model.epoch
        if self._steps_per_epoch:
            epoch = max(self.last_epoch, 0) / self._steps_per_epoch
        branch, stage = self._places[group]
        return self._model.parts[branch].warmth(stage, epoch)

    def _cycles_momentum(self) -> bool:
        return bool(getattr(self.shape, "cycle_momentum", False))


HEAD_GROUPS = frozenset({"head/decay", "head/no_decay"})


def build_scheduler(
    model: FusedModel,
    optimizer: Optimizer,
    shape: str | Shape,
    *,
    total_steps: int | None,
    steps_per_epoch: int | None,
    options: dict[str, Any],
) -> PolicyScheduler:
    """Gives the scheduler for ``model.lr_scheduler``, whose docstring says what it takes."""
    if steps_per_epoch is not None and steps_per_epoch < 1:
        raise ConfigError(f"steps_per_epoch must be at least 1, got {steps_per_epoch}")
    if not isinstance(shape, str):
        if total_steps is not None:
            options["total_steps"] = total_steps
        return PolicyScheduler(model, optimizer, shape, steps_per_epoch, options)
    if shape not in SHAPES:
        raise ConfigError(
            f"there is no schedule {shape!r}.{did_you_mean(shape, SHAPES)} "
            f"There are {', '.join(SHAPES)}, or any class of torch.optim.lr_scheduler"
        )
    class_name, defaults, names = SHAPES[shape]
    if total_steps is not None:
        needs_total = names.get("total_steps") or ("total_steps" if shape == "one_cycle" else None)
        if needs_total is not None:
            options.setdefault(needs_total, total_steps)
    elif shape in ("linear", "polynomial", "cosine", "one_cycle") and not _has_length(options):
        raise ConfigError(f"the schedule {shape!r} needs total_steps, the steps of the whole run")
    return PolicyScheduler(
        model,
        optimizer,
        getattr(torch_schedulers, class_name),
        steps_per_epoch,
        {**defaults, **options},
    )


def _has_length(options: Mapping[str, Any]) -> bool:
    return any(name in options for name in ("total_iters", "T_max", "total_steps", "epochs"))


def _shadow_of(optimizer: Optimizer) -> Optimizer:
    """Gives an optimizer of one parameter and a rate of 1, with the same kind of momentum."""
    parameter = nn.Parameter(torch.zeros(()))
    first = optimizer.param_groups[0]
    if "betas" in first:
        return torch.optim.Adam([parameter], lr=1.0, betas=first["betas"])
    return torch.optim.SGD([parameter], lr=1.0, momentum=first.get("momentum", 0.0))
