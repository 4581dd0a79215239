"""``FeatureBatch``: images for the branches that run, features of those that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from fusionkit.data.batch import Batch, Unreadable
from fusionkit.errors import DataError
from fusionkit.features import Features

__all__ = ["FeatureBatch", "joined", "take_rows", "unreadable", "without"]


@dataclass(frozen=True, slots=True)
class FeatureBatch(Batch):
    """One batch; the model answers it with ``model(batch.inputs, batch.features)``.

    ``inputs`` are those of the branches that run, as the model takes them; empty where all are
    cached. The rest is as in ``Batch``.

    Attributes:
        features: by branch, of those that are cached.
    """

    features: dict[str, Features] = field(default_factory=dict)


def joined(
    batch: Batch, inputs: dict[str, Any], features: dict[str, Features] | None = None
) -> FeatureBatch:
    """Gives a batch with the inputs as the model takes them, and features beside.

    Args:
        batch: of images.
        inputs: by branch, of those that run.
        features: by branch, of those that do not.
    """
    same = {each.name: getattr(batch, each.name) for each in fields(Batch)}
    return FeatureBatch(**{**same, "inputs": inputs, "features": features or {}})


def unreadable(broken: Unreadable) -> FeatureBatch:
    """Gives a batch without samples, which says what is known of those that cannot be read."""
    nothing = torch.zeros(0, dtype=torch.int64)
    return FeatureBatch({}, nothing, (), nothing, nothing.bool(), broken)


def take_rows(value: Any, rows: Sequence[int]) -> Any:
    """Gives some samples of inputs side by side: of tensors "b ..." and lists, in mappings too."""
    if isinstance(value, Mapping):
        return {key: take_rows(each, rows) for key, each in value.items()}
    if isinstance(value, list):
        return [value[row] for row in rows]
    return value[list(rows)] if isinstance(value, Tensor) else value


def without(batch: Batch, broken: Mapping[str, str]) -> Batch:
    """Gives a batch without some of its samples.

    Args:
        batch: of images.
        broken: the cause by id of samples that cannot be read, of which the batch may not know.

    Raises:
        DataError: none is left.
    """
    good = [row for row, name in enumerate(batch.ids) if name not in broken]
    if not good:
        raise DataError(
            f"none of the {len(batch)} samples of a batch can be read: {broken[batch.ids[0]]}"
        )

    return replace(
        batch,
        inputs=take_rows(batch.inputs, good),
        labels=take_rows(batch.labels, good),
        ids=tuple(batch.ids[row] for row in good),
        indices=batch.indices[good],
        counted=batch.counted[good],
        broken=batch.broken + tuple((name, broken[name]) for name in batch.ids if name in broken),
    )
