"""Saves what a run goes on from, between its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from fusionkit.training.resume.run_states import RunStates

__all__ = ["SaveStates"]


class SaveStates(Checkpoint):
    """Writes a state after each epoch, and every so many steps of the optimizer.

    Lightning calls it after all other callbacks, so that a state knows what they know.

    Args:
        states: the run's own.
        every: steps; ``None`` for after each epoch only.
    """

    def __init__(self, states: RunStates, every: int | None) -> None:
        self._states, self._every = states, every
        self._step = 0

    def place(self, trainer: pl.Trainer) -> Path:
        """Gives where the state of this step belongs, for whoever writes it."""
        self._states.make_room(trainer.global_step)
        return self._states.path(trainer.global_step)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Notes the step that it begins at."""
        self._step = trainer.global_step

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Writes a state where it is time, after a step of the optimizer.

        Not after an epoch's last: from there Lightning would go on without the validation.
        """
        if trainer.global_step != self._step:
            self._step = trainer.global_step
            due = self._every and self._step % self._every == 0
            if due and not trainer.is_last_batch:
                self._write(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes a state, after the validation."""
        self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.place(trainer))
        self._states.prune()
