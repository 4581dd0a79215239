"""``fit``: a job from its first step, or from where it stopped, to a saved model."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fusionkit.assembly.compose import compose
from fusionkit.cache import FeatureCache
from fusionkit.catalog import Catalog
from fusionkit.checkpoint.load import load
from fusionkit.errors import TrainingError
from fusionkit.model.fused import FusedModel
from fusionkit.runs.closing import OWN, Fitted, close_run, fitted_on_of
from fusionkit.runs.identity import identify, refuse_changed
from fusionkit.runs.loaders import count_batches
from fusionkit.runs.measure import Score
from fusionkit.runs.processes import first_alone, is_first
from fusionkit.runs.run_folder import RunFolder
from fusionkit.runs.samples import (
    JobSamples,
    complete_recipe,
    describe_samples,
    open_job_samples,
)
from fusionkit.runs.settings import Job
from fusionkit.runs.surroundings import keep_surroundings
from fusionkit.tensors.layout import to_channels_last
from fusionkit.training.planning import plan
from fusionkit.training.resume.run_states import RunStates

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Fitted", "fit"]


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
        torch.set_flush_denormal(True)  # which else take many times as long, in a head sure of all
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
        if console is not None:
            for line in (*describe_samples(samples, job), *_describe_start(saved)):
                console.print(line)
        trained = None
        if epochs:
            path = None if saved is None else saved[0]
            trained = train(
                model, job, samples, run, states, cache=cache, resume=path, told=console
            )
        fitted: list[Fitted] = []

        def close() -> None:
            best = load(run.best, catalog=catalog) if epochs else model
            fitted.append(close_run(best, job, samples, run, cache, trained))

        first_alone(close)
    return fitted[0] if fitted else _ended(run, job, catalog)


def _describe_start(saved: tuple[Path, dict[Any, Any]] | None) -> tuple[str, ...]:
    if saved is None:
        return ()
    step, epoch = saved[1]["global_step"], saved[1]["epoch"]
    return (f"goes on from step {step}, in epoch {epoch + 1}",)


def _compose(job: Job, catalog: Catalog | None) -> FusedModel:
    """Gives the model, the same for the same seed, whatever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.training.seed)
        model = compose(replace(job.recipe, preprocess="outside"), catalog=catalog)
    if job.training.channels_last and job.training.strategy != "fsdp":  # which shards no such
        to_channels_last(model)
    return model


def _epochs(model: FusedModel, job: Job) -> int:
    """Gives how many epochs there are to train by gradient: none where nothing learns so.

    Raises:
        TrainingError: and nothing is fitted either.
    """
    head = sum(parameter.requires_grad for parameter in model.head.parameters())
    branches = any(part.ever_learning() for part in model.parts.values())
    fits = fitted_on_of(model, job) is not None
    only_fitted = fits and not branches
    if job.training.epochs and (head or branches) and model.head.trains and not only_fitted:
        return job.training.epochs
    if fits:
        return 0
    if (head or branches) and model.head.trains:
        raise TrainingError(
            f"there is nothing to train: epochs is 0, and the head {model.recipe.head.name!r} is "
            "not one that is fitted; give at least one, for example --epochs 1"
        )
    raise TrainingError(
        "there is nothing to train: every branch is frozen and the head has no weights, and the "
        f"head {model.recipe.head.name!r} is not one that is fitted; let a branch learn, for "
        "example --set branches.NAME.freeze=none"
    )


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
