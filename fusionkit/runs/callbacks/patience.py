"""Ends a run that gets no better, also where it goes on from the state that it ended with."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping

from fusionkit.runs.settings import Monitor

__all__ = ["Patience"]


class Patience(EarlyStopping):
    """Lightning's ``EarlyStopping``, which by itself forgets that it has ended a run.

    Args:
        monitor: ``"val_loss"`` or ``"val_accuracy"``.
        patience: epochs without a better value after which the run ends.
    """

    def __init__(self, monitor: Monitor, patience: int) -> None:
        mode = "max" if monitor == "val_accuracy" else "min"
        super().__init__(monitor, mode=mode, patience=patience)
        self._trainer: pl.Trainer | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Notes the trainer, before a state is put back."""
        super().setup(trainer, pl_module, stage)
        self._trainer = trainer

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from what ``state_dict`` gave, which may be the end."""
        super().load_state_dict(state_dict)
        if self._trainer is not None and self.wait_count >= self.patience:
            self._trainer.should_stop = True
