"""``EMA``: a moving average of what learns, beside the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from fusionkit.checkpoint.config import backbone_of
from fusionkit.errors import ConfigError, ResumeError
from fusionkit.model.anatomy import trunk_of
from fusionkit.model.fused import FusedModel
from fusionkit.numbers import is_number

__all__ = ["EMA"]


class EMA:
    """The exponential moving average of a model's parameters and statistics.

    Only what learns at some epoch is kept twice; frozen branches are shared, and a tensor that
    has not moved has an average of the same bits. Averages have float32 at least: the small steps
    of an average are lost in bfloat16. Polyak and Juditsky 1992; the rise of the decay as in timm
    and TensorFlow.

    Attributes:
        model: the model that is averaged.
        decay: of the average, at each update.
        steps: how many updates there were.
        tensors: the averages by name.
    """

    def __init__(self, model: FusedModel, decay: float = 0.999, *, warmup: bool = True) -> None:
        if not is_number(decay) or not 0 <= decay < 1:
            raise ConfigError(f"EMA takes a decay from 0 up to but not including 1, got {decay!r}")
        self.model, self.decay, self.warmup, self.steps = model, float(decay), warmup, 0
        self.tensors = {
            name: value.detach().to(torch.promote_types(value.dtype, torch.float32), copy=True)
            for name, value in _averaged(model).items()
        }

    @torch.no_grad()
    def update(self) -> None:
        """Moves the averages towards the model's values; call it after each optimizer step."""
        self.steps += 1
        decay = self.decay
        if self.warmup:
            decay = min(decay, (1 + self.steps) / (10 + self.steps))
        now = _averaged(self.model)
        averages = list(self.tensors.values())
        towards = [now[name].detach().to(value.dtype) for name, value in self.tensors.items()]
        torch._foreach_lerp_(averages, towards, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[FusedModel]:
        """Lets the model have the averages within the block, to validate or to save it."""
        rounded = self._exchange({})
        try:
            yield self.model
        finally:
            self._exchange(rounded)

    def state_dict(self) -> dict[str, Any]:
        """Gives the averages and the count of updates."""
        return {"decay": self.decay, "steps": self.steps, "tensors": dict(self.tensors)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from what ``state_dict`` gave.

        Raises:
            ResumeError: it was made for another model.
        """
        theirs = state["tensors"]
        ours = self.tensors
        wrong = sorted(set(theirs) ^ set(ours)) or [
            name for name in ours if theirs[name].shape != ours[name].shape
        ]
        if wrong:
            raise ResumeError(
                f"the averages were made for another model: {wrong[0]!r} does not fit; resume "
                "with the recipe that the run began with"
            )
        self.steps = int(state["steps"])
        with torch.no_grad():
            for name, value in theirs.items():
                ours[name].copy_(value)

    @torch.no_grad()
    def _exchange(self, exact: dict[str, Tensor]) -> dict[str, Tensor]:
        """Lets model and averages change places; gives the averages that the model rounds.

        Args:
            exact: what it gave before, which is put back unless the block changed the values.
        """
        rounded: dict[str, Tensor] = {}
        for name, value in _averaged(self.model).items():
            held, average = value.detach().clone(), self.tensors[name]
            value.copy_(average)
            if value.dtype != average.dtype:
                rounded[name] = average.clone()
            before = exact.get(name, held)
            average.copy_(before if torch.equal(before.to(value.dtype), held) else held)
        return rounded


def _averaged(model: FusedModel) -> dict[str, Tensor]:
    """Gives by name what may move: parameters that ever learn, and buffers beside them."""
    moving: dict[str, Tensor] = {}
    moving |= {f"head.{name}": value for name, value in model.head.named_parameters()}
    moving |= {f"head.{name}": value for name, value in model.head.named_buffers()}
    for name, part in model.parts.items():
        learning = part.ever_learning()
        trunk = trunk_of(backbone_of(model, name))
        prefix = f"branches.{name}."
        moving |= {
            f"{prefix}{path}": value for path, value in trunk.named_parameters() if path in learning
        }
        if learning:
            moving |= {f"{prefix}{path}": value for path, value in trunk.named_buffers()}
    return {name: value for name, value in moving.items() if value.is_floating_point()}
