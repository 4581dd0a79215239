"""``predict``: what a saved model answers to samples without labels, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from fusionkit.catalog import Catalog
from fusionkit.data import open_predict
from fusionkit.model.fused import FusedModel
from fusionkit.runs.evaluate import job_of
from fusionkit.runs.loaders import val_loader
from fusionkit.runs.presented import presented
from fusionkit.runs.samples import input_names
from fusionkit.runs.saved import load_saved
from fusionkit.runs.settings import DataSettings

__all__ = ["Prediction", "class_names", "predict"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one sample.

    Attributes:
        id: of the sample: its path below the folder, or what the manifest calls it.
        label: the index of the most probable class; ``None`` where the sample is broken.
        probabilities: of each class, the softmax of the model's answer; empty where it is broken.
        cause: why the sample could not be read; empty where it could.
    """

    id: str
    label: int | None
    probabilities: tuple[float, ...]
    cause: str = ""


def class_names(model: FusedModel) -> tuple[str, ...]:
    """Gives the names of a model's classes, or their numbers where nobody named them."""
    count = model.recipe.num_classes
    assert count is not None
    return model.recipe.classes or tuple(map(str, range(count)))


def predict(
    model: FusedModel | str | Path,
    data: str | Path | list[str | Path],
    *,
    batch_size: int = 32,
    workers: int = 0,
    broken: Literal["stop", "skip"] = "stop",
    texts: tuple[str, ...] = (),
    catalog: Catalog | None = None,
) -> Iterator[Prediction]:
    """Gives a prediction for each sample, in their order, as soon as its batch is answered.

    Args:
        model: a model, the folder of a saved one, or of a run, whose best one is taken.
        data: a folder (all images below it), a file, several files, or a manifest.
        batch_size: samples at a time.
        workers: processes that read and decode.
        broken: what happens to a sample that cannot be read; ``"skip"`` gives its cause.
        texts: inputs whose cells are texts and no paths, in a manifest.
        catalog: where names are looked up; by default what is installed.

    Raises:
        CheckpointError: there is no such model.
        DataError: the samples cannot be read.
    """
    loaded = model if isinstance(model, FusedModel) else load_saved(model, catalog)
    job = job_of(loaded, DataSettings(broken=broken, workers=workers, texts=texts), batch_size)
    samples = open_predict(data, input_names(job.recipe), texts=texts)
    training = loaded.training
    try:
        with presented(loaded.eval(), "outside"), torch.inference_mode():
            for batch in val_loader(job, loaded, samples, cache=None):
                answers = loaded(batch.inputs).float().softmax(1).cpu()
                rows = zip(batch.ids, answers.tolist(), strict=True)
                for sample_id, row in rows:
                    yield Prediction(
                        sample_id, max(range(len(row)), key=row.__getitem__), tuple(row)
                    )
                for sample_id, cause in batch.broken:
                    yield Prediction(sample_id, None, (), cause)
    finally:
        loaded.train(training)
