"""``capture_run``: everything that a run needs to go on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import nn
from torch.optim import Optimizer

from fusionkit.errors import ConfigError
from fusionkit.training.resume.changes import run_settings
from fusionkit.training.resume.model_state import capture_model, inner_model
from fusionkit.training.resume.optimizer_state import capture_optimizer
from fusionkit.training.resume.position import Position
from fusionkit.training.resume.random_states import capture_random

__all__ = ["Stateful", "capture_run", "check_parts"]


class Stateful(Protocol):
    """What has a state of its own: a scheduler, a sampler, a ``GradScaler``, an ``EMA``."""

    def state_dict(self) -> Any:
        """Gives the state."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Goes on from what ``state_dict`` gave."""


def capture_run(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    position: Position,
    scheduler: Stateful | None = None,
    unfreezing: Stateful | None = None,
    sampler: Stateful | None = None,
    scaler: Stateful | None = None,
    ema: Stateful | None = None,
    extra: Any = None,
    settings: Mapping[str, Any] | None = None,
    finished: bool = False,
    inexact: Sequence[str] = (),
) -> dict[str, Any]:
    """Gives the state of a run between two steps of the optimizer, for ``restore_run``.

    Its tensors are the run's own, not copies: write it before the next step. Gradients are not in
    it, so it is taken after ``optimizer.step()``, never in the midst of accumulating.

    Args:
        model: as trained; what torch wraps around it to compile or distribute it is left out.
        optimizer: of parameters of the model.
        position: what comes next.
        scheduler: of the rates, such as ``model.lr_scheduler(...)`` gives.
        unfreezing: ``fusionkit.training.Unfreezing``.
        sampler: of the batches, if it has a state.
        scaler: ``torch.amp.GradScaler``.
        ema: the moving average of the parameters.
        extra: anything else, such as the log so far: plain data and tensors.
        settings: what must not change in between: batch size, seed, a fingerprint of the data, the
            number of epochs. Recipe, optimizer, versions and number of processes are noted anyway.
        finished: whether nothing is left to do.
        inexact: what an earlier resume could not restore to the bit.

    Raises:
        CheckpointError: the parameters are not all finite, or not all known by name.
        ConfigError: a part has no state to save, or a setting has a name that is taken.
    """
    if not isinstance(position, Position):
        raise ConfigError(f"position is a Position(epoch, batch, step), got {position!r:.80}")
    parts = {
        "scheduler": scheduler,
        "unfreezing": unfreezing,
        "sampler": sampler,
        "scaler": scaler,
        "ema": ema,
    }
    check_parts(parts)
    inner = inner_model(model)
    return {
        "position": {"epoch": position.epoch, "batch": position.batch, "step": position.step},
        "finished": finished,
        "inexact": list(inexact),
        "settings": run_settings(inner, optimizer, scheduler, settings),
        "model": capture_model(inner),
        "optimizer": capture_optimizer(inner, optimizer),
        "parts": {name: part.state_dict() for name, part in parts.items() if part is not None},
        "random": capture_random(),
        "extra": extra,
    }


def check_parts(parts: Mapping[str, object]) -> None:
    """Refuses what has no state to save.

    Raises:
        ConfigError: names it.
    """
    for name, part in parts.items():
        wanted = ("state_dict", "load_state_dict")
        if part is not None and not all(callable(getattr(part, each, None)) for each in wanted):
            raise ConfigError(
                f"{name} has no state_dict() and load_state_dict(): {type(part).__qualname__}"
            )
