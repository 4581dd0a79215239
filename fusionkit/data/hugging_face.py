"""Datasets of Hugging Face as samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionkit.data.classes import class_names, positions, to_label
from fusionkit.data.foreign import ForeignSamples, Renumber, as_label
from fusionkit.data.sample import Encoded
from fusionkit.data.split_names import find_split
from fusionkit.errors import ConfigError, DataError, did_you_mean

__all__ = ["from_hugging_face"]


def from_hugging_face(
    dataset: Any,
    inputs: Sequence[str],
    *,
    split: str | None,
    classes: Sequence[str] | None,
    label: str | None,
    ids: Sequence[str] | None,
) -> ForeignSamples:
    """Gives the samples of a ``datasets.Dataset``, or of one split of a ``DatasetDict``.

    Image columns are decoded here and not by the library, so that all images are read by the same
    rules. The names of a ``ClassLabel`` column become the classes; where ``classes`` are given, its
    labels become those of the same names. Without them they are those of the training split.

    Raises:
        ConfigError: it is iterable, or a split is asked for where there is none.
        DataError: a column is missing, or its labels are no classes.
    """
    import datasets

    if isinstance(dataset, (datasets.IterableDataset, datasets.IterableDatasetDict)):
        raise ConfigError(
            "a streamed dataset can only be iterated: several workers would each give all of it; "
            "load it without streaming=True, or use ShardedSamples"
        )
    learned = None
    if isinstance(dataset, datasets.DatasetDict):
        learned = dataset.get("train")
        dataset = _pick_split(dataset, split)
    elif split is not None and str(dataset.split or split) != split:
        raise ConfigError(f"the dataset is the split {str(dataset.split)!r}, not {split!r}")
    for name in (*inputs, *([label] if label is not None else ())):
        if name not in dataset.column_names:
            raise DataError(
                f"the dataset has no column {name!r}.{did_you_mean(name, dataset.column_names)} "
                f"Its columns are {', '.join(map(repr, dataset.column_names[:8]))}"
            )
    for name in inputs:
        if isinstance(dataset.features[name], datasets.Image):
            dataset = dataset.cast_column(name, datasets.Image(decode=False))
    values = list(dataset[label]) if label is not None else []
    numbers: list[int | None] = [None] * len(dataset)
    if label is not None:
        feature = dataset.features[label]
        if classes is None:
            classes = _classes_of(dataset if learned is None else learned, label)
        if isinstance(feature, datasets.ClassLabel):
            renumber = Renumber(tuple(feature.names), tuple(classes))
            numbers = [renumber(as_label(value)) for value in values]
        else:
            known = positions(classes)
            numbers = [
                to_label(str(value), known, f"sample {row}") for row, value in enumerate(values)
            ]
    read = _ReadRow(dataset, tuple(inputs), numbers)
    return ForeignSamples(
        len(dataset),
        read,
        classes=classes or (),
        input_names=inputs,
        ids=ids,
        labels=numbers,
    )


def _classes_of(dataset: Any, label: str) -> Sequence[str]:
    """Gives the classes that a column of labels is about."""
    names: Sequence[str] | None = getattr(dataset.features.get(label), "names", None)
    return names or class_names(str(value) for value in dataset[label])


class _ReadRow:
    """Reads one row of a Hugging Face dataset, its images still encoded."""

    def __init__(self, dataset: Any, inputs: tuple[str, ...], labels: Sequence[int | None]) -> None:
        self._dataset = dataset.select_columns(list(inputs))
        self._inputs = inputs
        self._labels = labels

    def __call__(self, index: int) -> tuple[Mapping[str, Any], int | None]:
        row = self._dataset[index]
        values: dict[str, Any] = {}
        for name in self._inputs:
            value = row[name]
            if isinstance(value, Mapping) and set(value) == {"bytes", "path"}:
                where = value["path"] or f"row {index}, column {name!r}"
                data = value["bytes"]
                value = Path(value["path"]) if data is None else Encoded(data, where)
            values[name] = value
        return values, self._labels[index]


def _pick_split(dataset: Any, split: str | None) -> Any:
    if split is None:
        raise ConfigError(
            f"the dataset has the splits {', '.join(dataset)}: say which, split='train' for example"
        )
    name = find_split(split, dataset.__contains__)
    if name is not None:
        return dataset[name]
    raise DataError(
        f"the dataset has no split {split!r}; it has {', '.join(dataset)}."
        f"{did_you_mean(split, dataset)}"
    )
