"""``Batch``: prepared samples side by side, still as bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from typing_extensions import Self

from fusionkit.errors import DataError

__all__ = [
    "Batch",
    "Prepared",
    "Unreadable",
    "collate",
    "collate_some",
    "map_tensors",
    "none_left",
    "once",
]

MASK = "attention_mask"
WORDS = ("ids", "broken")
"""What of a batch holds no tensors."""

Unreadable = tuple[tuple[str, str], ...]
"""Id and cause of samples that cannot be read."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One sample, prepared for each branch but for its mean and std.

    Attributes:
        index: where it stands among the samples.
        id: of the sample.
        inputs: by branch "c h w" of uint8 or raw floats, or what else a branch takes.
        label: the index of its class.
        broken: why there are no inputs, where it could not be read.
        counted: whether it is here in its own right, and not to fill up a batch.
    """

    index: int
    id: str
    inputs: Mapping[str, Any]
    label: int | None = None
    broken: str | None = None
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples side by side; ``Normalise`` makes of its inputs what a model takes.

    Attributes:
        inputs: by branch "b c h w" of uint8 or raw floats, or what else a branch takes. Branches
            whose pixels are the same share one tensor.
        labels: "b" of int64; ``None`` where a sample has none.
        ids: of the samples.
        indices: "b" of int64, where they stand among the samples.
        counted: "b" of bool, ``False`` for samples that only fill up a batch and are another's
            repetition: leave them out of metrics.
        broken: id and cause of the samples that were left out because they could not be read.
    """

    inputs: dict[str, Any]
    labels: Tensor | None
    ids: tuple[str, ...]
    indices: Tensor
    counted: Tensor
    broken: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def pin_memory(self) -> Self:
        """Gives the batch in memory that a device copies from at its full rate."""
        return self._with(Tensor.pin_memory)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Gives the batch on a device; what branches share is moved once."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def _with(self, change: Callable[[Tensor], Tensor]) -> Self:
        names = [each.name for each in fields(self) if each.name not in WORDS]
        change = once(change)
        return replace(self, **{name: map_tensors(getattr(self, name), change) for name in names})


def once(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Gives a change that is made once of each tensor, however many share it."""
    changed: dict[int, tuple[Tensor, Tensor]] = {}  # with the tensor, whose id is its own so long

    def changed_once(tensor: Tensor) -> Tensor:
        if id(tensor) not in changed:
            changed[id(tensor)] = tensor, change(tensor)
        return changed[id(tensor)][1]

    return changed_once


def map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Gives a value with every tensor in it changed: in mappings, lists, tuples, ``Features``."""
    if isinstance(value, Mapping):
        return {key: map_tensors(each, change) for key, each in value.items()}
    return pytree.tree_map_only(Tensor, change, value)


def collate(samples: Sequence[Prepared]) -> Batch:
    """Gives a batch of samples; those that could not be read are named and left out.

    Texts, as mappings of token tensors "n", are filled up with 0 to the longest.

    Raises:
        DataError: none could be read, or they cannot stand side by side.
    """
    good = [sample for sample in samples if sample.broken is None]
    broken = tuple((sample.id, sample.broken) for sample in samples if sample.broken is not None)
    if not good:
        raise none_left(broken)
    done: dict[tuple[int, ...], Any] = {}
    inputs: dict[str, Any] = {}
    for name in good[0].inputs:
        values = [sample.inputs[name] for sample in good]
        key = tuple(map(id, values))
        if key not in done:
            done[key] = _side_by_side(values, name, good)
        inputs[name] = done[key]
    labels = [sample.label for sample in good]
    known = [label for label in labels if label is not None]
    return Batch(
        inputs=inputs,
        labels=torch.tensor(known) if len(known) == len(labels) else None,
        ids=tuple(sample.id for sample in good),
        indices=torch.tensor([sample.index for sample in good]),
        counted=torch.tensor([sample.counted for sample in good]),
        broken=broken,
    )


def collate_some(samples: Sequence[Prepared]) -> Batch | Unreadable:
    """Gives the batch of those that can be read, or what is known of those that cannot."""
    if any(sample.broken is None for sample in samples):
        return collate(samples)
    return tuple((sample.id, sample.broken or "") for sample in samples)


def none_left(broken: Sequence[tuple[str, str]], why: str = "") -> DataError:
    """Gives the error of a batch of which no sample can be read."""
    shown = "; ".join(cause for _, cause in broken[:3])
    return DataError(
        f"none of the {len(broken)} samples of a batch can be read{why}: {shown}"
        f"{'; ...' if len(broken) > 3 else ''}"
    )


def _side_by_side(values: list[Any], branch: str, samples: Sequence[Prepared]) -> Any:
    first = values[0]
    if isinstance(first, Mapping):
        _check_masked(values, branch)
        return {
            key: _side_by_side([value[key] for value in values], branch, samples) for key in first
        }
    if not isinstance(first, Tensor):
        return values
    if any(value.dtype != first.dtype for value in values):
        kinds = sorted({str(value.dtype) for value in values})
        raise DataError(f"branch {branch!r}: a batch mixes {' and '.join(kinds)}")
    if first.ndim == 1 and not first.is_floating_point():
        return torch.nn.utils.rnn.pad_sequence(values, batch_first=True)
    for value, sample in zip(values, samples, strict=True):
        if value.shape != first.shape:
            raise DataError(
                f"branch {branch!r}: {sample.id} has the shape {tuple(value.shape)}, but "
                f"{samples[0].id} {tuple(first.shape)}; inputs that are no images are not resized"
            )
    # The one copy there is: it puts "h w c" of a decoder into the "c h w" of a network.
    stacked = torch.empty((len(values), *first.shape), dtype=first.dtype)
    for place, value in zip(stacked, values, strict=True):
        place.copy_(value)
    return stacked


def _check_masked(values: Sequence[Mapping[str, Any]], branch: str) -> None:
    for value in values:
        if set(value) != set(values[0]):
            raise DataError(
                f"branch {branch!r}: a batch mixes {sorted(values[0])} and {sorted(value)}"
            )
    if MASK in values[0]:
        return
    shapes = {tuple(value[key].shape) for value in values for key in value if _is_row(value[key])}
    if len(shapes) > 1:
        raise DataError(
            f"branch {branch!r}: texts of unlike length need an {MASK!r}, which tells tokens from "
            "what fills them up"
        )


def _is_row(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 1
