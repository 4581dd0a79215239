"""``SaveOnSignal``: a ``Trainer`` that is told to end saves between two steps first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from fusionkit.training.signals import StopRequest, stop_signals

__all__ = ["SaveOnSignal"]


class SaveOnSignal(Checkpoint):
    """Saves a checkpoint when SIGTERM or SIGHUP comes, after the step that is being done.

    Lightning's own handler of SIGTERM ends the fit after a batch, in the midst of accumulating
    and of a validation too, where a checkpoint is not one that a run goes on from to the same
    bits; it ends with exit code 0. While this callback is there, it handles both signals
    instead: the step of the optimizer is finished, a validation too, the checkpoint is where
    ``ModelCheckpoint(every_n_train_steps=...)`` has its own, and the exit code is 128 and the
    signal's number. Of several processes it suffices that one is told. A second signal ends the
    process at once. What comes in an epoch's last step is heeded after the validation: a checkpoint
    from before it goes on without it.

    It is a ``Checkpoint`` so that Lightning calls it after all others.

    Args:
        path: where to, for ``fit(ckpt_path=...)``; or what gives that, when it is time.
    """

    def __init__(self, path: str | PathLike[str] | Callable[[pl.Trainer], Path]) -> None:
        self._place = path if callable(path) else Path(path)
        self._handlers = ExitStack()
        self._stop = StopRequest()
        self._step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the signals over from Lightning."""
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
        """Saves and ends, if a signal came and the optimizer has made its step."""
        if trainer.global_step != self._step and not trainer.is_last_batch:
            self._step = trainer.global_step
            self._heed(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves and ends, if a signal came in the epoch's last step or in the validation."""
        self._step = trainer.global_step
        self._heed(trainer)

    def _heed(self, trainer: pl.Trainer) -> None:
        if trainer.strategy.reduce_boolean_decision(bool(self._stop), all=False):
            place = self._place(trainer) if callable(self._place) else self._place
            trainer.save_checkpoint(place)
            raise SystemExit(128 + (self._stop.signal or 15))  # another process was told

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gives the signals back."""
        self._handlers.close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Gives the signals back."""
        self._handlers.close()
