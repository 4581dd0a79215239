"""Keeps the best model of a run, as ``fusionkit.save`` writes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl

from fusionkit.errors import TrainingError
from fusionkit.runs.settings import Monitor

__all__ = ["KeepBest"]


class KeepBest(pl.Callback):
    """Saves the model whenever its validation is better than any before.

    It stands before ``AverageCallback``, so that what was validated is what is saved.

    Attributes:
        best: the best value so far; ``None`` before the first.
        epoch: at which it was reached.
        metrics: all that was measured then, by name.

    Args:
        monitor: ``"val_loss"`` or ``"val_accuracy"``.
        save: writes the model; called with the metrics.
    """

    def __init__(self, monitor: Monitor, save: Callable[[dict[str, float]], None]) -> None:
        self._monitor, self._save = monitor, save
        self.best: float | None = None
        self.epoch = -1
        self.metrics: dict[str, float] = {}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves the model if it is the best; of equals the first is kept.

        Raises:
            TrainingError: what was measured is no number, so that the training has diverged.
        """
        measured = trainer.callback_metrics.items()
        found = {key: float(value) for key, value in measured if key.startswith("val_")}
        if wrong := [key for key, value in found.items() if not math.isfinite(value)]:
            raise TrainingError(
                f"{wrong[0]} is {found[wrong[0]]} after epoch {trainer.current_epoch}: the "
                "training has diverged. What was saved before is kept; begin another run with a "
                "lower training.lr, or with training.clip: 1.0"
            )
        if not self._is_better(found[self._monitor]):
            return
        self.metrics, self.best, self.epoch = found, found[self._monitor], trainer.current_epoch
        if trainer.is_global_zero:
            self._save(self.metrics)

    def state_dict(self) -> dict[str, Any]:
        """Gives what a resumed run needs."""
        return {"best": self.best, "epoch": self.epoch, "metrics": self.metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from what ``state_dict`` gave."""
        self.best, self.epoch = state_dict["best"], state_dict["epoch"]
        self.metrics = dict(state_dict["metrics"])

    def _is_better(self, value: float) -> bool:
        if self.best is None:
            return True
        return value > self.best if self._monitor == "val_accuracy" else value < self.best
