"""Manifests: a table with a column for each input, and one for the label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionkit.data.classes import Absent, check_all_present, class_names, positions, to_label
from fusionkit.data.sample import ListedSamples, Sample
from fusionkit.data.split_names import find_split
from fusionkit.data.table import Table, read_table
from fusionkit.errors import DataError, did_you_mean, some_of

__all__ = ["read_manifest"]

SPLIT = "split"
ID = "id"


def read_manifest(
    path: Path,
    split: str | None,
    inputs: Sequence[str],
    classes: Sequence[str] | None,
    *,
    label: str | None,
    texts: Sequence[str],
    absent: Absent,
) -> ListedSamples:
    """Gives the samples of a CSV or Parquet file, or of one of its splits.

    Args:
        path: of the file; paths in it are relative to it.
        split: the value of the column ``split`` that is asked for, or means the same.
        inputs: the column of each input.
        classes: their names; otherwise the labels that occur in the training split, or in all
            rows where there are no splits.
        label: its column; ``None`` where labels are not read.
        texts: the inputs whose cells are texts and no paths.
        absent: what happens when a split other than ``train`` lacks a class.

    Raises:
        DataError: names file and line.
    """
    table = read_table(path)
    for column in (*inputs, *([label] if label else ())):
        _check_column(table, column)
    # What is only answered needs no split: all rows are taken.
    chosen = _rows_of_split(table, split) if label or split else list(range(len(table.rows)))
    if not chosen:
        raise DataError(f"{path} has no rows{f' of the split {split!r}' if split else ''}")
    if label and classes is None:
        classes = class_names(
            table.rows[row][label] for row in _rows_to_learn(table) if table.rows[row][label]
        )
    numbers = positions(classes or ())
    samples = [
        Sample(_id(table, row, inputs), _values(table, row, inputs, texts), number)
        for row, number in zip(chosen, _numbers(table, chosen, label, numbers), strict=True)
    ]
    _check_ids(table, chosen, samples)
    _check_files(path, samples)
    if label:
        whole = "refuse" if split in (None, "train") else absent
        where = f"{path}{f', split {split!r}' if split else ''}"
        check_all_present((sample.label for sample in samples), classes or (), where, whole)
    return ListedSamples(samples, classes or (), inputs)


def _check_column(table: Table, column: str) -> None:
    if column not in table.columns:
        raise DataError(
            f"{table.path} has no column {column!r}.{did_you_mean(column, table.columns)} Its "
            f"columns are {', '.join(map(repr, table.columns[:8]))}"
        )


def _rows_of_split(table: Table, split: str | None) -> list[int]:
    every = list(range(len(table.rows)))
    if SPLIT not in table.columns:
        if split is not None:
            raise DataError(
                f"{table.path} has no column 'split', but the split {split!r} is asked for; "
                "split_samples makes one"
            )
        return every
    there = sorted({row[SPLIT] for row in table.rows})
    if split is None:
        raise DataError(
            f"{table.path} has the splits {', '.join(map(repr, there))}: say which, "
            "split='train' for example"
        )
    name = find_split(split, there.__contains__)
    if name is None:
        raise DataError(
            f"{table.path} has no split {split!r}; it has {', '.join(map(repr, there)) or 'none'}."
            f"{did_you_mean(split, there)}"
        )
    return [row for row in every if table.rows[row][SPLIT] == name]


def _rows_to_learn(table: Table) -> list[int]:
    """Gives the rows whose labels make the class map."""
    every = list(range(len(table.rows)))
    if SPLIT not in table.columns:
        return every
    return [row for row in every if table.rows[row][SPLIT] == "train"] or every


def _id(table: Table, row: int, inputs: Sequence[str]) -> str:
    return table.rows[row][ID if ID in table.columns else inputs[0]]


def _values(table: Table, row: int, inputs: Sequence[str], texts: Sequence[str]) -> dict[str, Any]:
    cells = table.rows[row]
    for name in inputs:
        if not cells[name]:
            raise DataError(f"{table.places[row]}: the column {name!r} is empty")
    folder = table.path.parent
    return {name: cells[name] if name in texts else folder / cells[name] for name in inputs}


def _numbers(
    table: Table, rows: Sequence[int], label: str | None, classes: Mapping[str, int]
) -> list[int | None]:
    if label is None:
        return [None] * len(rows)
    numbers: list[int | None] = []
    for row in rows:
        text, place = table.rows[row][label], table.places[row]
        if not text:
            raise DataError(f"{place}: the column {label!r} is empty; every row needs a label")
        numbers.append(to_label(text, classes, place))
    return numbers


def _check_ids(table: Table, rows: Sequence[int], samples: Sequence[Sample]) -> None:
    first: dict[str, str] = {}
    for row, sample in zip(rows, samples, strict=True):
        place = table.places[row]
        if not sample.id:
            raise DataError(f"{place}: the column 'id' is empty")
        if sample.id in first:
            advice = (
                "give each row its own" if ID in table.columns else "add a column 'id' to tell them"
            )
            raise DataError(
                f"{place}: the id {sample.id!r} stands at {first[sample.id]} too; {advice}"
            )
        first[sample.id] = place


def _check_files(path: Path, samples: Sequence[Sample]) -> None:
    files = [value for sample in samples for value in sample.inputs.values()]
    missing = [str(file) for file in files if isinstance(file, Path) and not file.is_file()]
    if missing:
        raise DataError(
            f"{path} names {len(missing)} files that are not there: {some_of(missing)}; "
            "paths are relative to the manifest's folder"
        )
