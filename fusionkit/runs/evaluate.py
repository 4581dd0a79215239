"""``evaluate``: how good a saved model is on samples whose labels are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from fusionkit.catalog import Catalog
from fusionkit.data import Samples, ShardedSamples
from fusionkit.errors import DataError, some_of
from fusionkit.model.fused import FusedModel
from fusionkit.runs.devices import AUTO, choose_device, placed
from fusionkit.runs.loaders import val_loader
from fusionkit.runs.measure import Score, measure
from fusionkit.runs.presented import presented
from fusionkit.runs.samples import open_split, splits_of
from fusionkit.runs.saved import load_saved
from fusionkit.runs.settings import DataSettings, Job, TrainingSettings

__all__ = ["evaluate", "job_of"]


def evaluate(
    model: FusedModel | str | Path,
    data: str | Path,
    split: str | None = None,
    *,
    batch_size: int = 32,
    workers: int = 0,
    broken: Literal["stop", "skip"] = "stop",
    label: str = "label",
    texts: tuple[str, ...] = (),
    device: str | torch.device = AUTO,
    catalog: Catalog | None = None,
) -> Score:
    """Gives the score of a model on labelled samples, each prepared as each branch was trained.

    Args:
        model: a model, the folder of a saved one, or of a run, whose best one is taken.
        data: an image folder or a manifest.
        split: by default ``"test"`` where there is one, else ``"val"``, else all.
        batch_size: samples at a time.
        workers: processes that read and decode.
        broken: what happens to a sample that cannot be read; with ``"skip"`` any number may be so.
        label: the column of the label, in a manifest.
        texts: inputs whose cells are texts and no paths, in a manifest.
        device: where the model is run, such as ``"cpu"``, and put back from; ``"auto"`` takes a
            GPU where there is one, unless the model lies elsewhere than on the CPU.
        catalog: where names are looked up; by default what is installed.

    Raises:
        CheckpointError: there is no such model.
        ConfigError: there is no such device here.
        DataError: the samples cannot be read, or have classes that the model does not know.
    """
    loaded = model if isinstance(model, FusedModel) else load_saved(model, catalog)
    where = choose_device(device, loaded)
    settings = DataSettings(
        source=str(data), label=label, texts=texts, broken=broken, workers=workers
    )
    job = job_of(loaded, settings, batch_size)
    samples = _open(job, split)
    with placed(loaded, where), presented(loaded, "outside"):
        loader = val_loader(job, loaded, samples, cache=None, most_broken=1)
        return measure(loaded, loader.read())


def job_of(model: FusedModel, data: DataSettings, batch_size: int) -> Job:
    """Gives the job of running a model once, in eval mode, over some samples."""
    # To the same bits as ever: no other memory format, no other precision.
    training = TrainingSettings(batch_size=batch_size, channels_last=False)
    return Job(replace(model.recipe, preprocess="outside"), data, training)


def _open(job: Job, split: str | None) -> Samples | ShardedSamples:
    there = splits_of(job)
    if split is None:
        split = next((name for name in ("test", "val") if name in there), None)
    samples = open_split(job.data, job.recipe, split, job.recipe.classes or None)
    count = job.recipe.num_classes
    if len(samples.classes) != count:
        raise DataError(
            f"the model tells {count} classes apart and names none, but {job.data.source} has "
            f"{len(samples.classes)} ({some_of(samples.classes, 5)}): labels would mean something "
            "else; name the model's classes, as `classes` of its recipe"
        )
    return samples
