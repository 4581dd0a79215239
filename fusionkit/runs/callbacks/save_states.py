"""Saves what a run goes on from, between its steps."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from fusionkit.training.resume.run_states import RunStates
from fusionkit.training.signals import StopRequest

__all__ = ["SaveStates"]


class SaveStates(Checkpoint):
    """Writes a state after each epoch, or every so many steps, and when the run is told to end.

    Lightning calls it after all other callbacks, so that a state knows what they know.

    Args:
        states: the run's own.
        every: steps of the optimizer; ``None`` for after each epoch only.
        stop: whether the process was told to end; the run then ends after the step.
    """

    def __init__(self, states: RunStates, every: int | None, stop: StopRequest) -> None:
        self._states, self._every, self._stop = states, every, stop
        self._saved = -1

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Writes a state where it is time."""
        step = trainer.global_step
        between = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if self._stop and between:
            self._write(trainer)
            self._stop.leave()
        if self._every and between and step % self._every == 0:
            self._write(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes a state, after the validation."""
        self._saved = -1  # what the validation made known is new, though the step is the same
        self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        step = trainer.global_step
        if step == self._saved:
            return
        self._saved = step
        self._states.make_room(step)
        trainer.save_checkpoint(self._states.path(step))
        self._states.prune()
