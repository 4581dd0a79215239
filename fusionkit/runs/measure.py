"""``measure``: how well a model does on samples whose labels are known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from fusionkit.errors import DataError
from fusionkit.model.fused import FusedModel

__all__ = ["Score", "measure"]


@dataclass(frozen=True, slots=True)
class Score:
    """What a model is worth on some samples.

    Attributes:
        samples: how many there were.
        accuracy: the share that it gets right.
        loss: the mean cross entropy.
        balanced_accuracy: the mean over classes of the share that it gets right.
        by_class: that share for each class; NaN for one without samples (in files null).
        confusion: how many samples of a class (first) were taken for another (second).
        calibration_error: the expected calibration error over 15 bins (arXiv:1706.04599).
        broken: id and cause of samples that could not be read, which count nowhere.
    """

    samples: int
    accuracy: float
    loss: float
    balanced_accuracy: float
    by_class: tuple[float, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration_error: float
    broken: tuple[tuple[str, str], ...] = ()

    def to_data(self) -> dict[str, Any]:
        """Gives the score as JSON-able data; what is no finite number is null."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Score:
        """Gives the score of which ``to_data`` gave the data; null becomes NaN."""
        found: dict[str, Any] = {
            name: math.nan if value is None else value for name, value in data.items()
        }
        found["by_class"] = tuple(math.nan if each is None else each for each in data["by_class"])
        for name in ("confusion", "broken"):
            found[name] = tuple(map(tuple, data[name]))
        return cls(**found)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(map(_plain, value))
    return None if isinstance(value, float) and not math.isfinite(value) else value


@torch.no_grad()
def measure(model: FusedModel, batches: Iterable[Any]) -> Score:
    """Gives the score of a model in eval mode; its own mode is put back.

    Args:
        model: as it is.
        batches: as ``FeatureLoader.read`` gives them; of those without samples the broken ones are
            noted.

    Raises:
        DataError: there are no samples, or one has no label.
    """
    from torchmetrics.functional.classification import (
        multiclass_calibration_error,
        multiclass_confusion_matrix,
    )

    classes = model.recipe.num_classes
    assert classes is not None
    training = model.training
    model.eval()
    logits: list[Tensor] = []
    labels: list[Tensor] = []
    broken: list[tuple[str, str]] = []
    try:
        for batch in batches:
            if batch.labels is None:
                raise DataError("samples without labels cannot be measured; predict takes them")
            broken += batch.broken
            if not len(batch.labels):
                continue
            answer = model(batch.inputs, batch.features)
            logits.append(answer[batch.counted].float().cpu())
            labels.append(batch.labels[batch.counted].cpu())
    finally:
        model.train(training)
    if not labels or not sum(map(len, labels)):
        why = f"; {len(broken)} cannot be read: {broken[0][1]}" if broken else ""
        raise DataError(f"there are no samples to measure{why}")
    answers, known = torch.cat(logits), torch.cat(labels)
    confusion = multiclass_confusion_matrix(answers, known, classes)
    by_class = confusion.diag() / confusion.sum(1)
    return Score(
        samples=len(known),
        accuracy=float(confusion.diag().sum() / len(known)),
        loss=float(cross_entropy(answers, known)),
        balanced_accuracy=float(by_class.nanmean()),
        by_class=tuple(by_class.tolist()),
        confusion=tuple(map(tuple, confusion.tolist())),
        calibration_error=float(multiclass_calibration_error(answers.softmax(1), known, classes)),
        broken=tuple(broken),
    )
