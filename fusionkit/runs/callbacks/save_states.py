"""Saves what a run goes on from, between its steps."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from fusionkit.training.resume.run_states import RunStates
from fusionkit.training.signals import StopRequest, stop_signals

__all__ = ["SaveStates"]

TOLD_TO_END = 128
SIGTERM = 15


class SaveStates(Checkpoint):
    """Writes a state after each epoch, or every so many steps, and when the run is told to end.

    As ``SaveOnSignal`` it takes SIGTERM and SIGHUP over from Lightning, whose own handler ends in
    the midst of what a run cannot go on from. Lightning calls it after all other callbacks, so
    that a state knows what they know.

    Args:
        states: the run's own.
        every: steps of the optimizer; ``None`` for after each epoch only.
    """

    def __init__(self, states: RunStates, every: int | None) -> None:
        self._states, self._every = states, every
        self._handlers = ExitStack()
        self._stop = StopRequest()
        self._step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the signals over."""
        self._step = trainer.global_step
        self._stop = self._handlers.enter_context(stop_signals())

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Writes a state where it is time, after a step of the optimizer."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        ends = trainer.strategy.reduce_boolean_decision(bool(self._stop), all=False)
        if ends or (self._every and self._step % self._every == 0):
            self._write(trainer)
        if ends:
            raise SystemExit(TOLD_TO_END + (self._stop.signal or SIGTERM))  # another was told

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes a state, after the validation."""
        self._write(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gives the signals back."""
        self._handlers.close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Gives the signals back."""
        self._handlers.close()

    def _write(self, trainer: pl.Trainer) -> None:
        self._states.make_room(trainer.global_step)
        trainer.save_checkpoint(self._states.path(trainer.global_step))
        self._states.prune()
