"""``save_run`` and ``resume_run``: the two calls of a plain training loop."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from fusionkit.training.resume.capture import Stateful, capture_run
from fusionkit.training.resume.position import Position, Resumed
from fusionkit.training.resume.rates import keep_initial_rates
from fusionkit.training.resume.restore import restore_run
from fusionkit.training.resume.run_states import RunStates

__all__ = ["resume_run", "save_run"]


def resume_run(
    states: RunStates,
    model: nn.Module,
    optimizer: Optimizer,
    *,
    scheduler: Stateful | None = None,
    unfreezing: Stateful | None = None,
    sampler: Stateful | None = None,
    scaler: Stateful | None = None,
    ema: Stateful | None = None,
    settings: Mapping[str, Any] | None = None,
    allow: Collection[str] = (),
    inexact: bool = False,
) -> Resumed:
    """Goes on from a run's newest whole state; begins the run where there is none.

    Called once, before the loop, after all parts were built as for a new run::

        with RunStates("runs/pets") as states:
            at = resume_run(states, model, optimizer, settings={"seed": 0, "batch_size": 8})
            print(at)
            for epoch in range(at.position.epoch, 10):
                ...

    What the arguments are, ``restore_run`` says.

    Raises:
        ResumeError: settings have changed, or no state is whole, or the newest does not fit.
        ConfigError: ``allow`` names no setting, or a part has no state.
    """
    found = states.newest()
    keep_initial_rates(optimizer)
    if found is None:
        return Resumed()
    path, state = found
    resumed = restore_run(
        state,
        model,
        optimizer,
        scheduler=scheduler,
        unfreezing=unfreezing,
        sampler=sampler,
        scaler=scaler,
        ema=ema,
        settings=settings,
        allow=allow,
        inexact=inexact,
        path=path,
    )
    states.inexact = resumed.inexact
    return resumed


def save_run(
    states: RunStates,
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
) -> Path:
    """Saves a run between two steps, and gives the place; what the arguments are, ``capture_run``.

    Raises:
        CheckpointError: the disk is full, the training has diverged, or ``extra`` cannot be
            written; earlier states are kept.
        ResumeError: the folder holds an earlier run that was not resumed.
        ConfigError: a part has no state to save.
    """
    state = capture_run(
        model,
        optimizer,
        position=position,
        scheduler=scheduler,
        unfreezing=unfreezing,
        sampler=sampler,
        scaler=scaler,
        ema=ema,
        extra=extra,
        settings=settings,
        finished=finished,
        inexact=states.inexact,
    )
    return states.write(position.step, state)
