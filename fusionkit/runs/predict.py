"""``predict``: what a saved model answers to samples without labels, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from fusionkit.cache.compute import Compute, device_of
from fusionkit.catalog import Catalog
from fusionkit.data import PreparedDataset, open_predict
from fusionkit.data.batch import Batch, Unreadable
from fusionkit.model.fused import FusedModel
from fusionkit.runs.devices import AUTO, choose_device, placed
from fusionkit.runs.presented import presented
from fusionkit.runs.samples import input_names
from fusionkit.runs.saved import load_saved

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
    device: str | torch.device = AUTO,
    catalog: Catalog | None = None,
) -> Iterator[Prediction]:
    """Gives a prediction for each sample, in their order, as soon as its batch is answered.

    Model and samples are opened at once; images are read when their answers are asked for. Between
    two rows the model is as it was, but for the device, which it leaves after the last: it is in
    eval mode only while a batch is computed.

    Args:
        model: a model, the folder of a saved one, or of a run, whose best one is taken.
        data: a folder (all images below it), a file, several files, or a manifest.
        batch_size: samples at a time.
        workers: processes that read and decode.
        broken: what happens to a sample that cannot be read; ``"skip"`` gives its cause.
        texts: inputs whose cells are texts and no paths, in a manifest.
        device: where the model is run, such as ``"cpu"``, and put back from; ``"auto"`` takes a
            GPU where there is one, unless the model lies elsewhere than on the CPU.
        catalog: where names are looked up; by default what is installed.

    Raises:
        CheckpointError: there is no such model.
        ConfigError: there is no such device here.
        DataError: the samples cannot be read.
    """
    loaded = model if isinstance(model, FusedModel) else load_saved(model, catalog)
    where = choose_device(device, loaded)
    samples = open_predict(data, input_names(loaded.recipe), texts=texts)
    with presented(loaded, "outside"):
        dataset = PreparedDataset(samples, loaded, broken=broken, most_broken=1.0)
        compute = Compute(loaded, dataset, workers=workers)
    return _answers(loaded, where, compute, samples.ids, batch_size)


def _answers(
    model: FusedModel, where: torch.device, compute: Compute, ids: Sequence[str], batch_size: int
) -> Iterator[Prediction]:
    done = 0
    with placed(model, where):
        for batch in compute.read(list(model.parts), range(len(ids)), batch_size):
            found = _of_batch(model, compute, batch)
            here = ids[done : done + len(found)]
            done += len(found)
            yield from (found[sample_id] for sample_id in here)


def _of_batch(
    model: FusedModel, compute: Compute, batch: Batch | Unreadable
) -> dict[str, Prediction]:
    """Gives the answers to a batch by id; of what could not be read, why."""
    if not isinstance(batch, Batch):
        return {sample_id: Prediction(sample_id, None, (), cause) for sample_id, cause in batch}
    training = model.training
    try:
        with presented(model.eval(), "outside"), torch.inference_mode():
            inputs = compute.ready(batch.inputs, device_of(model))
            rows = model(inputs).float().softmax(1).tolist()
    finally:
        model.train(training)  # before the caller has its rows, who may train between two
    found = {
        sample_id: Prediction(sample_id, max(range(len(row)), key=row.__getitem__), tuple(row))
        for sample_id, row in zip(batch.ids, rows, strict=True)
    }
    return found | {
        sample_id: Prediction(sample_id, None, (), cause) for sample_id, cause in batch.broken
    }
