"""``fit``: a job from its first step, or from where it stopped, to a saved model."""

from __future__ import annotations

import time
import warnings
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from fusionkit.assembly.compose import compose
from fusionkit.cache import FeatureCache
from fusionkit.catalog import Catalog
from fusionkit.checkpoint.load import load
from fusionkit.checkpoint.model_card import ModelCard
from fusionkit.checkpoint.save import save
from fusionkit.data import Samples, ShardedSamples
from fusionkit.errors import TrainingError
from fusionkit.model.fitting import fit_head
from fusionkit.model.fused import FusedModel
from fusionkit.runs.devices import placed, training_device
from fusionkit.runs.identity import identify, refuse_changed
from fusionkit.runs.loaders import count_batches, val_loader
from fusionkit.runs.measure import Score, measure
from fusionkit.runs.presented import presented
from fusionkit.runs.processes import first_alone, is_first
from fusionkit.runs.run_folder import RunFolder
from fusionkit.runs.samples import JobSamples, complete_recipe, open_job_samples
from fusionkit.runs.settings import Job
from fusionkit.runs.surroundings import keep_surroundings
from fusionkit.training.planning import plan
from fusionkit.training.resume.run_states import RunStates

if TYPE_CHECKING:
    from rich.console import Console

    from fusionkit.runs.train import Trained

__all__ = ["Fitted", "FittedOn", "fit"]

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


def fit(
    job: Job,
    folder: str | Path,
    *,
    resume: bool = False,
    allow: Collection[str] = (),
    console: Console | None = None,
    catalog: Catalog | None = None,
) -> Fitted:
    """Trains what a job describes, and keeps the best model.

    Random numbers and torch's switches are afterwards as they were.

    Args:
        job: its ``num_classes`` and ``classes`` may be left to the data.
        folder: of the run; made if need be.
        resume: whether a run that lies there is gone on with, to the same end as if it had never
            been stopped. One that has ended is not trained again.
        allow: what may have changed since a run that is gone on with was begun, such as
            ``"training.epochs"`` or ``"versions.torch"``; it then comes to another end.
        console: where progress is shown; nowhere if not given.
        catalog: where names are looked up; by default what is installed.

    Raises:
        ConfigError: a setting is wrong, or the folder holds something else.
        DataError: the samples cannot be read.
        ResumeError: the run was begun with other data or settings, or is in use.
        TrainingError: there is nothing to train, or the training diverged.
    """
    first = is_first(job.training)
    with warnings.catch_warnings(), keep_surroundings():
        if not first:
            warnings.simplefilter("ignore")  # the first process has said it
        run, shown = RunFolder(Path(folder)), console if first else None
        return _fit(job, run, resume, tuple(allow), shown, catalog)


def _fit(  # noqa: PLR0917
    job: Job,
    run: RunFolder,
    resume: bool,
    allow: tuple[str, ...],
    console: Console | None,
    catalog: Catalog | None,
) -> Fitted:
    from fusionkit.runs.train import train  # which imports Lightning

    first = is_first(job.training)
    if first:
        run.refuse_used(resume=resume)
    samples = open_job_samples(job)
    job = replace(job, recipe=complete_recipe(job.recipe, samples.train.classes))
    known = identify(job, samples)
    if resume and run.has_learned():
        if run.read_result() is not None:
            refuse_changed(run, known, allow)
            return _ended(run, job, catalog)
        if refuse_changed(run, known, allow) and first:
            run.note(job, known)
    model = _compose(job, catalog)
    epochs = _epochs(model, job)
    cache = FeatureCache() if job.training.cache else None
    with RunStates(run.states, writes=first) as states:
        if first:
            run.refuse_used(resume=resume)  # another may have come to its end in the meantime
        saved = states.newest() if resume else None
        if saved is None and first:
            run.begin(job, known, str(_plan(model, job, samples)))
        trained = None
        if epochs:
            path = None if saved is None else saved[0]
            trained = train(
                model, job, samples, run, states, cache=cache, resume=path, told=console
            )
        fitted: list[Fitted] = []

        def close() -> None:
            best = load(run.best, catalog=catalog) if epochs else model
            fitted.append(_close(best, job, samples, run, cache, trained))

        first_alone(close)
    return fitted[0] if fitted else _ended(run, job, catalog)


def _close(  # noqa: PLR0917
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
    fitted_on = _fitted_on(model, job)
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


def _compose(job: Job, catalog: Catalog | None) -> FusedModel:
    """Gives the model, the same for the same seed, whatever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.training.seed)
        model = compose(replace(job.recipe, preprocess="outside"), catalog=catalog)
    if job.training.channels_last and job.training.strategy != "fsdp":  # which shards no such
        model = model.to(memory_format=torch.channels_last)
    return model


def _epochs(model: FusedModel, job: Job) -> int:
    """Gives how many epochs there are to train by gradient: none where nothing learns so.

    Raises:
        TrainingError: and nothing is fitted either.
    """
    head = sum(parameter.requires_grad for parameter in model.head.parameters())
    branches = any(part.ever_learning() for part in model.parts.values())
    fits = _fitted_on(model, job) is not None
    only_fitted = fits and not branches
    if job.training.epochs and (head or branches) and model.head.trains and not only_fitted:
        return job.training.epochs
    if fits:
        return 0
    learns = head or branches
    why = "epochs is 0" if learns else "every branch is frozen and the head has no weights"
    raise TrainingError(
        f"there is nothing to train: {why}, and the head {model.recipe.head.name!r} is not one "
        "that is fitted. To measure the model as it is, use `fusionkit evaluate`; to train it, let "
        "a branch learn, for example --set branches.NAME.freeze=none"
    )


def _fitted_on(model: FusedModel, job: Job) -> FittedOn:
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


def _plan(model: FusedModel, job: Job, samples: JobSamples) -> object:
    batches = count_batches(job, samples.train, job.training.devices * job.training.nodes)
    steps = -(-batches // job.training.accumulate)
    shape = job.training.schedule
    return plan(
        model,
        max(1, job.training.epochs),
        lr=job.training.lr,
        shape=shape.name,
        steps_per_epoch=steps,
        **shape.options,
    )


def _ended(run: RunFolder, job: Job, catalog: Catalog | None) -> Fitted:
    """Gives what a run that has ended came to."""
    found = run.read_result()
    assert found is not None
    fields = {name: found.pop(name, None) for name in OWN}
    fields["left_out"] = tuple(map(tuple, fields["left_out"]))
    return Fitted(
        load(run.best, catalog=catalog),
        Score.from_data(found),
        folder=run.path,
        **fields,
    )
