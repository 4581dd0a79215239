"""Ends a run that makes no progress, also when it is gone on with after it had ended."""

from __future__ import annotations

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping

__all__ = ["StopEarly"]


class StopEarly(EarlyStopping):
    """Lightning's ``EarlyStopping``, whose decision is in no checkpoint: it is made again."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Trains no epoch more where the patience had run out when the state was saved."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True
