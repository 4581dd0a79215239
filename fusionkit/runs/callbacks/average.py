"""Keeps a moving average of what learns, and validates it in the model's place."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl

from fusionkit.model.fused import FusedModel
from fusionkit.training.ema import EMA

__all__ = ["AverageCallback"]


class AverageCallback(pl.Callback):
    """Updates an ``EMA`` after each step of the optimizer; validation sees the averages.

    Args:
        model: what is averaged.
        decay: of the average.
    """

    def __init__(self, model: FusedModel, decay: float) -> None:
        self._model, self._decay = model, decay
        self._average: EMA | None = None
        self._pending: dict[str, Any] | None = None
        self._applied: Any = None
        self._steps = 0

    @property
    def average(self) -> EMA:
        """The average; there once the training has begun."""
        assert self._average is not None
        return self._average

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins with the model's values, or goes on from a checkpoint."""
        self._average = EMA(self._model, self._decay)
        if self._pending is not None:
            self._average.load_state_dict(self._pending)
            self._pending = None
        self._steps = trainer.global_step

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Moves the averages where the optimizer took a step."""
        if trainer.global_step != self._steps:
            self._steps = trainer.global_step
            self.average.update()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Puts the averages in the model's place."""
        if self._average is not None:
            self._applied = self._average.applied()
            self._applied.__enter__()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Puts the model's own values back."""
        self._leave()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Puts the model's own values back where the validation failed."""
        self._leave()

    def state_dict(self) -> dict[str, Any]:
        """Gives the averages, for a checkpoint."""
        return {} if self._average is None else self._average.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what ``state_dict`` gave; it is applied when the training begins."""
        self._pending = state_dict or None

    def _leave(self) -> None:
        if self._applied is not None:
            self._applied.__exit__(None, None, None)
            self._applied = None
