"""Datasets of torch as samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fusionkit.data.foreign import ForeignSamples, Renumber, as_label, check_labels
from fusionkit.errors import ConfigError, DataError, did_you_mean

__all__ = ["from_torch"]


def from_torch(
    dataset: Any,
    inputs: Sequence[str],
    classes: Sequence[str] | None,
    label: str | None,
    ids: Sequence[str] | None,
) -> ForeignSamples:
    """Gives the samples of a ``torch.utils.data.Dataset``.

    An item is a pair of input and label, a pair of inputs by name (or in their order) and label,
    or a mapping that holds inputs and label by name. Where the dataset names its classes, labels
    become those of ``classes`` by name.

    Raises:
        ConfigError: it is iterable, so that each worker would give all of it again.
        DataError: it is empty, or its labels are no classes.
    """
    if isinstance(dataset, torch.utils.data.IterableDataset) or not hasattr(dataset, "__len__"):
        raise ConfigError(
            f"{type(dataset).__name__} can only be iterated: several workers or processes would "
            "each give all of it; give a dataset with __len__ and __getitem__, or ShardedSamples"
        )
    own = getattr(dataset, "classes", None)
    own = None if own is None else tuple(map(str, own))
    renumber = None if own is None or not classes else Renumber(own, tuple(classes))
    read = _ReadItem(dataset, tuple(inputs), label, renumber)
    length = len(dataset)
    listed = _listed_labels(dataset, length) if label is not None else [None] * length
    if classes is None:
        classes = own
    if listed is not None and renumber is not None:
        listed = [renumber(each) for each in listed]
    if classes is None:
        if listed is None:
            listed = [read(index)[1] for index in range(length)]
        known = [each for each in listed if each is not None]
        classes = [str(number) for number in range(max(known, default=-1) + 1)]
    check_labels(listed or (), classes)
    return ForeignSamples(length, read, classes=classes, input_names=inputs, ids=ids, labels=listed)


class _ReadItem:
    """Reads one item of a torch dataset as inputs by name, and a label."""

    def __init__(
        self,
        dataset: Any,
        inputs: tuple[str, ...],
        label: str | None,
        renumber: Renumber | None,
    ) -> None:
        self._dataset = dataset
        self._inputs = inputs
        self._label = label
        self._renumber = renumber

    def __call__(self, index: int) -> tuple[Mapping[str, Any], int | None]:
        inputs, label = self._item(index)
        return inputs, label if self._renumber is None else self._renumber(label)

    def _item(self, index: int) -> tuple[Mapping[str, Any], int | None]:
        item = self._dataset[index]
        if isinstance(item, Mapping):
            return _from_mapping(item, self._inputs, self._label)
        label = None
        if self._label is not None:
            if not isinstance(item, (tuple, list)) or len(item) != 2:
                raise DataError(
                    f"an item is (input, label) or a mapping with {self._label!r}, "
                    f"got {type(item).__name__}"
                )
            item, label = item
        if isinstance(item, Mapping):
            return _from_mapping(item, self._inputs, None)[0], as_label(label)
        if len(self._inputs) == 1:
            return {self._inputs[0]: item}, as_label(label)
        if not isinstance(item, (tuple, list)) or len(item) != len(self._inputs):
            raise DataError(
                f"there are {len(self._inputs)} inputs, so an item is (inputs, label) with a "
                f"mapping of {', '.join(map(repr, self._inputs))}, got "
                f"{type(item).__name__}"
            )
        return dict(zip(self._inputs, item, strict=True)), as_label(label)


def _from_mapping(
    item: Mapping[str, Any], inputs: Sequence[str], label: str | None
) -> tuple[dict[str, Any], int | None]:
    for name in (*inputs, *([label] if label is not None else ())):
        if name not in item:
            raise DataError(
                f"an item has no {name!r}.{did_you_mean(name, map(str, item))} It has "
                f"{', '.join(map(repr, list(item)[:8]))}"
            )
    return {name: item[name] for name in inputs}, as_label(item[label] if label else None)


def _listed_labels(dataset: Any, length: int) -> list[int | None] | None:
    """Gives the labels that a dataset keeps as a list, as those of torchvision do."""
    listed = getattr(dataset, "targets", None)
    if listed is None and isinstance(dataset, torch.utils.data.TensorDataset):
        listed = dataset.tensors[-1] if len(dataset.tensors) == 2 else None
    if listed is None or len(listed) != length:
        return None
    try:
        return [as_label(value) for value in listed]
    except DataError:
        return None  # of another kind than what an item holds, such as boxes
