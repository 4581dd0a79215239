"""``PolicyCallback``: the policies inside a Lightning ``Trainer``."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from torch import nn

from fusionkit.model.fused import FusedModel
from fusionkit.training.distributed import agree
from fusionkit.training.find_model import find_model
from fusionkit.training.unfreezing import Unfreezing

__all__ = ["PolicyCallback"]


class PolicyCallback(pl.Callback):
    """Freezes and thaws between the epochs of a ``Trainer``, and keeps that in its checkpoints.

    The optimizer comes from ``configure_optimizers`` as ever, built from ``model.param_groups``;
    the scheduler from ``model.lr_scheduler``, with ``"interval": "step"``. Metrics that a
    ``Freeze.on_plateau`` waits for are logged by the validation under their own name. Take
    neither Lightning's ``BackboneFinetuning`` nor ``BaseFinetuning`` beside it: their frozen
    norm layers use the batch's statistics.

    Args:
        model: whose policies are followed; by default the one that the LightningModule holds.
    """

    def __init__(self, model: FusedModel | None = None) -> None:
        self._model = model
        self._unfreezing: Unfreezing | None = None
        self._pending: dict[str, Any] | None = None
        self._validated = False

    @property
    def unfreezing(self) -> Unfreezing:
        """What follows the policies; there once the fit has begun."""
        assert self._unfreezing is not None
        return self._unfreezing

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Finds the model."""
        if stage == "fit":
            model = self._model or find_model(pl_module, type(self).__name__)
            self._unfreezing = Unfreezing(model)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lets Lightning see a model that trains: it warns of every part that is in eval mode."""
        nn.Module.train(self.unfreezing.model)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Goes on from a checkpoint, or freezes what the first epoch freezes.

        A run that goes on may start in the middle of an epoch, whose start it then does not see.
        """
        if self._pending is not None:
            self.unfreezing.load_state_dict(self._pending)
            self._pending = None
        self.unfreezing.begin_epoch(trainer.current_epoch)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Freezes and thaws for the epoch."""
        self._validated = False
        self.unfreezing.begin_epoch(trainer.current_epoch)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Notes that there is something to watch."""
        self._validated = self._validated or not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Watches the metrics that branches wait for, as means over all ranks.

        Where the ``Trainer`` validates only in some epochs, these are the ones that count.
        """
        if self.unfreezing.metrics and (self._validated or not trainer.enable_validation):
            told = trainer.callback_metrics
            mine = {name: told[name] for name in self.unfreezing.metrics if name in told}
            self.unfreezing.end_epoch(trainer.current_epoch, agree(mine))

    def state_dict(self) -> dict[str, Any]:
        """Gives what a resumed run needs, for Lightning's checkpoint."""
        return {} if self._unfreezing is None else self._unfreezing.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what ``state_dict`` gave; it is applied when the fit begins."""
        self._pending = state_dict or None
