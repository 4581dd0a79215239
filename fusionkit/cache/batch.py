"""``FeatureBatch``: images for the branches that run, features of those that do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fusionkit.data.batch import Batch, Unreadable
from fusionkit.errors import DataError
from fusionkit.features import Features

__all__ = ["FeatureBatch", "unreadable", "without"]


@dataclass(frozen=True, slots=True)
class FeatureBatch:
    """One batch; the model answers it with ``model(batch.inputs, batch.features)``.

    Attributes:
        inputs: by branch what it takes, of those that run; empty where all are cached.
        features: by branch, of those that are cached.
        labels: "b" of int64; ``None`` where a sample has none.
        ids: of the samples.
        indices: "b" of int64, where they stand among the samples.
        counted: "b" of bool, ``False`` for samples that only fill up a batch and are another's
            repetition: leave them out of metrics.
        broken: id and cause of the samples that were left out because they could not be read.
    """

    inputs: dict[str, Any]
    features: dict[str, Features]
    labels: Tensor | None
    ids: tuple[str, ...]
    indices: Tensor
    counted: Tensor
    broken: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def pin_memory(self) -> FeatureBatch:
        """Gives the batch in memory that a device copies from at its full rate."""
        return self._with(Tensor.pin_memory)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> FeatureBatch:
        """Gives the batch on a device."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def _with(self, change: Callable[[Tensor], Tensor]) -> FeatureBatch:
        changed: dict[int, Tensor] = {}

        def once(tensor: Tensor) -> Tensor:
            if id(tensor) not in changed:
                changed[id(tensor)] = change(tensor)
            return changed[id(tensor)]

        def move(features: Features) -> Features:
            vector, logits = features.vector, features.logits
            return Features(
                None if vector is None else once(vector),
                tuple(map(once, features.maps)),
                None if logits is None else once(logits),
            )

        return replace(
            self,
            inputs={name: _deeply(value, once) for name, value in self.inputs.items()},
            features={name: move(value) for name, value in self.features.items()},
            labels=None if self.labels is None else once(self.labels),
            indices=once(self.indices),
            counted=once(self.counted),
        )


def unreadable(broken: Unreadable) -> FeatureBatch:
    """Gives a batch without samples, which says what is known of those that cannot be read."""
    nothing = torch.zeros(0, dtype=torch.int64)
    return FeatureBatch({}, {}, nothing, (), nothing, nothing.bool(), broken)


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

    def chosen(value: Any) -> Any:
        return value[good] if isinstance(value, Tensor) else value

    def listed(value: Any) -> Any:
        return [value[row] for row in good] if isinstance(value, list) else _deeply(value, chosen)

    return replace(
        batch,
        inputs={name: listed(value) for name, value in batch.inputs.items()},
        labels=chosen(batch.labels),
        ids=tuple(batch.ids[row] for row in good),
        indices=batch.indices[good],
        counted=batch.counted[good],
        broken=batch.broken + tuple((name, broken[name]) for name in batch.ids if name in broken),
    )


def _deeply(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _deeply(each, change) for key, each in value.items()}
    return value
