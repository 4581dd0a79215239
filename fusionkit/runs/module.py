"""``FusionModule``: a fused model as Lightning trains it."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassAccuracy

from fusionkit.errors import TrainingError
from fusionkit.model.fused import FusedModel
from fusionkit.runs.settings import TrainingSettings
from fusionkit.training.distributed.shard import is_model_sharded, shard
from fusionkit.training.optimizers import build_optimizer
from fusionkit.training.seeds import seed_step

__all__ = ["FusionModule"]

MOST_WARNINGS = 3
PLATEAU = "plateau"


class FusionModule(pl.LightningModule):
    """The cross entropy of a fused model, its optimizer and schedule, and what is measured.

    Attributes:
        model: what is trained.
        settings: how.
        steps_per_epoch: of the optimizer.
        left_out: the cause for each sample to learn from that could not be read, by its id.
    """

    def __init__(
        self, model: FusedModel, settings: TrainingSettings, batches_per_epoch: int
    ) -> None:
        super().__init__()
        self.model, self.settings = model, settings
        self.batches_per_epoch = batches_per_epoch
        self.steps_per_epoch = -(-batches_per_epoch // settings.accumulate)
        self.left_out: dict[str, str] = {}
        classes = model.recipe.num_classes
        assert classes is not None
        self.measured = torch.nn.ModuleDict(
            {
                f"{split}_{name}": metric
                for split in ("train", "val")
                for name, metric in (
                    ("loss", MeanMetric()),
                    ("accuracy", MulticlassAccuracy(classes, average="micro")),
                )
            }
        )
        for metric in self.measured.values():
            assert isinstance(metric, Metric)
            metric.persistent(True)  # or a run that goes on would forget half an epoch

    def configure_model(self) -> None:
        """Shards the model over the processes, if the settings say so."""
        if self.settings.strategy == "fsdp" and not is_model_sharded(self.model):
            assert self.device_mesh is not None
            shard(self.model, self.device_mesh["data_parallel"])

    def answer(self, batch: Any) -> Tensor:
        """Gives the logits "b k" of a ``FeatureBatch``."""
        logits: Tensor = self.model(batch.inputs, batch.features)
        return logits

    def on_train_epoch_start(self) -> None:
        """Forgets the epoch before, which a state that was saved at its end still knows."""
        for metric in self.measured.values():
            assert isinstance(metric, Metric)
            metric.reset()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Makes the step's random numbers a function of the seed and its place in the run."""
        self.left_out.update(batch.broken)
        place = self.current_epoch * self.batches_per_epoch + batch_idx
        seed_step(self.settings.seed, place, self.global_rank)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """Gives the loss of a batch, with label smoothing; none of one without samples."""
        if not len(batch):
            return None
        logits = self.answer(batch)
        loss = cross_entropy(logits, batch.labels, label_smoothing=self.settings.label_smoothing)
        if not torch.isfinite(loss):
            raise self._diverged(batch, loss, batch_idx)
        self._measure("train", logits, batch.labels, loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Measures a batch; what was added to make the batches of all ranks even counts nothing."""
        if not len(batch):
            return
        logits, labels = self.answer(batch)[batch.counted], batch.labels[batch.counted]
        if len(labels):
            self._measure("val", logits, labels, cross_entropy(logits, labels))

    def configure_optimizers(self) -> Any:
        """Gives the optimizer over the model's groups, and the schedule that keeps their ratios."""
        chosen, shape = self.settings.optimizer, self.settings.schedule
        optimizer = build_optimizer(
            self.model,
            chosen.name,
            lr=self.settings.lr,
            weight_decay=self.settings.weight_decay,
            fuse=not self.settings.clips_mixed,
            **chosen.options,
        )
        plateau = shape.name == PLATEAU
        schedule = self.model.lr_scheduler(
            optimizer,
            shape.name,
            total_steps=self.settings.epochs * self.steps_per_epoch,
            steps_per_epoch=None if plateau else self.steps_per_epoch,
            **shape.options,
        )
        when: dict[str, Any] = {"interval": "epoch" if plateau else "step", "scheduler": schedule}
        if plateau:
            when |= {"monitor": self.settings.monitor, "reduce_on_plateau": True}
        return {"optimizer": optimizer, "lr_scheduler": when}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Advances the schedule after a step; one that watches a metric waits for the epoch's."""
        if self.settings.schedule.name != PLATEAU:
            scheduler.step()

    def on_train_epoch_end(self) -> None:
        """Tells a schedule that watches a metric what it is.

        Lightning would do so after the epoch's state was saved, and not at all where a run goes on
        from that state.
        """
        if self.settings.schedule.name == PLATEAU:
            schedule: Any = self.lr_schedulers()
            schedule.step(float(self.trainer.callback_metrics[self.settings.monitor]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Saves what all processes have measured so far, not only the first."""
        if self.trainer.world_size == 1:
            return
        for name, metric in self.measured.items():
            assert isinstance(metric, Metric)
            with metric.sync_context():
                state = metric.state_dict(prefix=f"measured.{name}.")
                checkpoint["state_dict"].update({key: each.clone() for key, each in state.items()})

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Gives what all have measured to the first process alone, or it would count again."""
        if self.global_rank == 0:
            return
        saved = checkpoint["state_dict"]
        for key in [key for key in saved if key.startswith("measured.")]:
            saved[key] = torch.zeros_like(saved[key])

    def _measure(self, split: str, logits: Tensor, labels: Tensor, loss: Tensor) -> None:
        values = {"loss": (loss.detach(), len(labels)), "accuracy": (logits.detach(), labels)}
        for name, arguments in values.items():
            metric = self.measured[f"{split}_{name}"]
            assert isinstance(metric, Metric)
            metric.update(*arguments)
            self.log(f"{split}_{name}", metric, on_step=False, on_epoch=True)

    def _diverged(self, batch: Any, loss: Tensor, index: int) -> TrainingError:
        said = ""
        if not batch.features and not is_model_sharded(self.model):  # which takes all processes
            found = self.model.diagnose(batch.inputs).warnings
            said = "".join(f"{each}. " for each in found[:MOST_WARNINGS])
        return TrainingError(
            f"the loss is {loss.item()} at epoch {self.current_epoch}, batch {index}: the training "
            f"has diverged. {said}What was saved before is kept; begin another run with a "
            "lower training.lr, or with training.clip: 1.0"
        )
