"""Any torch scheduler's shape over groups that keep the ratios of their rates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from fusionkit.errors import ConfigError, PolicyError
from fusionkit.model.shapes import Shape, build_shape, choose_shape

if TYPE_CHECKING:
    from fusionkit.model.fused import FusedModel

__all__ = ["PolicyScheduler", "build_scheduler"]

HEAD_GROUPS = frozenset({"head/decay", "head/no_decay"})


class PolicyScheduler(LRScheduler):
    """Multiplies every group's own rate by one shape, and by its warm-up after a thaw.

    The shape is a torch scheduler that runs on a rate of 1, so that its rates are the common
    factor: ratios between groups stay as the policies say, whatever the shape. Rates given to
    it (``max_lr``, ``eta_min``, ``base_lr``) are therefore multiples of each group's own rate.
    Its momentum, where it cycles it, is handed on as it is.

    Attributes:
        shape: torch's scheduler, over a rate of 1.
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
        _check_groups(optimizer, self._places)
        self._shadow = _shadow_of(optimizer)
        self.shape = build_shape(shape, self._shadow, options)
        super().__init__(optimizer)

    def get_lr(self) -> list[float | torch.Tensor]:
        """Gives the rate of each group: base x shape x warm-up."""
        factor = float(self._shadow.param_groups[0]["lr"])
        return [
            base * factor * self._warmth(group["name"])
            for base, group in zip(self.base_lrs, self.optimizer.param_groups, strict=True)
        ]

    def step(self, *arguments: Any, **named: Any) -> None:
        """Advances by one step; the plateau shape takes the metric that it watches."""
        if self.last_epoch >= 0:
            if isinstance(self.shape, ReduceLROnPlateau) and not (arguments or named):
                raise ConfigError("the plateau schedule watches a metric: scheduler.step(metric)")
            self._shadow.step()  # moves nothing; torch wants it before the scheduler's step
            self.shape.step(*arguments, **named)
        self.last_epoch += 1
        self._step_count += 1
        self.refresh()

    def refresh(self) -> None:
        """Writes the rates, and a cycled momentum, into the optimizer; advances nothing."""
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
            if getattr(self.shape, "cycle_momentum", False):
                shadow = self._shadow.param_groups[0]
                if "betas" in group:
                    group["betas"] = (shadow["betas"][0], *group["betas"][1:])
                elif "momentum" in group:
                    group["momentum"] = shadow["momentum"]
        self._last_lr = [
            rate.clone() if isinstance(rate, torch.Tensor) else rate
            for rate in (group["lr"] for group in self.optimizer.param_groups)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Gives what a resumed run needs: plain numbers, no model."""
        shadow = self._shadow.param_groups[0]
        return {
            "last_epoch": self.last_epoch,
            "base_lrs": [float(base) for base in self.base_lrs],
            "groups": [group["name"] for group in self.optimizer.param_groups],
            "shape": _plain(self.shape.state_dict()),
            "shadow": {name: _plain(shadow[name]) for name in SHADOWED if name in shadow},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from what ``state_dict`` gave, at the rates that it had.

        Raises:
            PolicyError: it was made for other groups.
        """
        groups = [group["name"] for group in self.optimizer.param_groups]
        theirs = state_dict.get("groups")
        if theirs != groups:
            changed = sorted(set(groups) ^ set(theirs or ()))
            raise PolicyError(
                "the scheduler's state was made for other parameter groups "
                f"({', '.join(changed[:3]) or 'in another order'}); build model and optimizer as "
                "they were when it was saved"
            )
        self.last_epoch = state_dict["last_epoch"]
        self.base_lrs = list(state_dict["base_lrs"])
        self.shape.load_state_dict(dict(state_dict["shape"]))
        self._shadow.param_groups[0].update(state_dict["shadow"])
        self.refresh()

    def _warmth(self, group: str) -> float:
        if group not in self._places:
            return 1.0
        epoch: float = self._model.epoch
        if self._steps_per_epoch:
            epoch = max(self.last_epoch, 0) / self._steps_per_epoch
        branch, stage = self._places[group]
        return self._model.parts[branch].warmth(stage, epoch)


SHADOWED = ("lr", "momentum", "betas", "initial_lr", "max_lr", "min_lr")


def build_scheduler(
    model: FusedModel,
    optimizer: Optimizer,
    shape: str | Shape,
    *,
    total_steps: int | None,
    steps_per_epoch: int | None,
    options: Mapping[str, Any],
) -> PolicyScheduler:
    """Gives the scheduler for ``model.lr_scheduler``, whose docstring says what it takes."""
    for name, value in (("steps_per_epoch", steps_per_epoch), ("total_steps", total_steps)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ConfigError(f"{name} must be a whole number, at least 1, got {value!r:.80}")
    made, chosen = choose_shape(shape, total_steps, steps_per_epoch, options)
    return PolicyScheduler(model, optimizer, made, steps_per_epoch, chosen)


def _check_groups(optimizer: Optimizer, places: Mapping[str, object]) -> None:
    """Refuses an optimizer whose groups are not exactly those of the model."""
    if not isinstance(optimizer, Optimizer):
        raise ConfigError(f"lr_scheduler takes a torch optimizer, got {type(optimizer).__name__}")
    for group in optimizer.param_groups:
        name = group.get("name")
        if name not in places and name not in HEAD_GROUPS:
            raise PolicyError(
                f"the optimizer has a group {name!r} that is not of this model; "
                "build it from model.param_groups(lr=...)"
            )


def _shadow_of(optimizer: Optimizer) -> Optimizer:
    """Gives an optimizer of one parameter and a rate of 1, with the same kind of momentum."""
    parameter = nn.Parameter(torch.zeros(()))
    first = optimizer.param_groups[0]
    if "betas" in first:
        beta1, beta2 = (float(beta) for beta in first["betas"][:2])
        return torch.optim.Adam([parameter], lr=1.0, betas=(beta1, beta2))
    return torch.optim.SGD([parameter], lr=1.0, momentum=float(first.get("momentum", 0.0)))


def _plain(value: Any) -> Any:
    """Gives numbers in place of tensors, without what only a pickle could hold.

    A Counter (of milestones) is left out: its keys are numbers, which JSON would make text of,
    and the scheduler that takes the state in has its own.
    """
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, Mapping):
        kept = {key: each for key, each in value.items() if not isinstance(each, Counter)}
        return {key: _plain(each) for key, each in kept.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
