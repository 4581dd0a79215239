"""The end of a run: its head is fitted, its best model measured and saved."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from fusionkit.cache import FeatureCache
from fusionkit.checkpoint.model_card import ModelCard
from fusionkit.checkpoint.save import save
from fusionkit.data import Samples, ShardedSamples
from fusionkit.model.fitting import fit_head
from fusionkit.model.fused import FusedModel
from fusionkit.runs.devices import placed, training_device
from fusionkit.runs.loaders import val_loader
from fusionkit.runs.measure import Score, measure
from fusionkit.runs.presented import presented
from fusionkit.runs.processes import is_first
from fusionkit.runs.run_folder import RunFolder
from fusionkit.runs.samples import JobSamples
from fusionkit.runs.settings import Job

if TYPE_CHECKING:
    from fusionkit.runs.train import Trained

__all__ = ["OWN", "Fitted", "FittedOn", "close_run", "fitted_on_of", "save_best"]

FittedOn = Literal["train", "val"] | None

OWN = ("epoch", "epochs", "seconds", "left_out", "fitted_on")
"""What a run's result has besides its score."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a run came to.

    Attributes:
        model: the best one, in eval mode, on the CPU.
        score: of it on the samples held out.
        epoch: at which it was reached, counted from 0; -1 where only the head was fitted.
        epochs: how many the job asks for.
        seconds: of training and validation, in all processes that the run took.
        folder: of the run.
        left_out: id and cause of samples to learn from that could not be read, as far as this
            process saw them.
        fitted_on: the samples that the head was fitted to at the end, ``"train"`` or ``"val"``;
            ``None`` where it was not. Those of ``"val"`` are the ones that ``score`` is measured
            on, so that it says too much.
    """

    model: FusedModel
    score: Score
    epoch: int
    epochs: int
    seconds: float
    folder: Path
    left_out: tuple[tuple[str, str], ...] = ()
    fitted_on: FittedOn = None


def close_run(  # noqa: PLR0917
    model: FusedModel,
    job: Job,
    samples: JobSamples,
    run: RunFolder,
    cache: FeatureCache | None,
    trained: Trained | None,
) -> Fitted:
    """Fits the head of the best model, if it is one that is fitted, measures it, and saves both."""
    start = time.perf_counter()
    where = training_device(job.training.accelerator)
    fitted_on = fitted_on_of(model, job)
    with placed(model, where), presented(model, "outside"):
        if fitted_on is not None:
            chosen = samples.train if fitted_on == "train" else samples.val
            _fit_head(model, job, chosen, cache)
        # As ``evaluate`` does it, to the same bits: no other memory format, no other precision.
        model.to(memory_format=torch.contiguous_format)
        plain = replace(job.training, channels_last=False, precision="32-true")
        held_out = val_loader(replace(job, training=plain), model, samples.val, cache=cache)
        score = measure(model, held_out.read())
    fitted = Fitted(
        model.eval(),
        score,
        epoch=-1 if trained is None else trained.epoch,
        epochs=0 if trained is None else job.training.epochs,
        seconds=(trained.seconds if trained else 0.0) + time.perf_counter() - start,
        folder=run.path,
        left_out=() if trained is None else trained.left_out,
        fitted_on=fitted_on,
    )
    if is_first(job.training):
        if trained is None or fitted_on is not None:
            metrics = {"val_accuracy": score.accuracy, "val_loss": score.loss}
            save_best(model, run, job, metrics, fitted_on)
        own = {name: getattr(fitted, name) for name in OWN}
        run.end({**score.to_data(), **own, "seconds": round(fitted.seconds, 2)})
    return fitted


def save_best(
    model: FusedModel,
    run: RunFolder,
    job: Job,
    metrics: dict[str, float],
    fitted_on: FittedOn = None,
) -> None:
    """Saves the model as its recipe asked for, with what was measured on its card."""
    where = f"{Path(job.data.source or 'the data given').name}, samples held out"
    if fitted_on == "val":
        where += ", to which the head was fitted"
    rounded = {key: round(value, 4) for key, value in metrics.items()}
    card = ModelCard(dataset=where, metrics=rounded)
    with presented(model, job.recipe.preprocess):
        save(model, run.best, card=card)


def fitted_on_of(model: FusedModel, job: Job) -> FittedOn:
    """Gives the samples that the head is fitted to: no branch has learned from them."""
    where = job.training.fit_head
    if not model.head.fits or where == "never":
        return None
    if where == "auto":
        learned = any(part.ever_learning() for part in model.parts.values())
        return "val" if learned else "train"
    return where


def _fit_head(
    model: FusedModel, job: Job, chosen: Samples | ShardedSamples, cache: FeatureCache | None
) -> None:
    # As the head will be asked: outside autocast, which cached features of its type would need.
    plain = replace(job, training=replace(job.training, precision="32-true"))
    batches = val_loader(plain, model, chosen, cache=cache)
    fit_head(model, ((batch.inputs, batch.labels, batch.features) for batch in batches))
