"""Writes predictions as they come: CSV to a file or a stream, or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from fusionkit.errors import ConfigError
from fusionkit.runs.predict import Prediction
from fusionkit.runs.texts import replacing

__all__ = ["write_csv", "write_predictions"]

ROWS = 1024
"""Of a Parquet row group."""


def write_predictions(
    path: Path, predictions: Iterable[Prediction], classes: tuple[str, ...]
) -> int:
    """Writes predictions to a ``.csv`` or ``.parquet`` file; gives how many there were.

    The file is written beside its place and put there when it is whole.

    Raises:
        ConfigError: the file is of another kind, or pyarrow is not installed.
        DataError: it cannot be written; what was there before is kept.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        with replacing(path) as fresh, fresh.open("w", newline="", encoding="utf-8") as file:
            return write_csv(file, predictions, classes)
    if suffix != ".parquet":
        raise ConfigError(f"predictions are written to a .csv or .parquet file, got {path.name}")
    with replacing(path) as fresh:
        return _write_parquet(fresh, predictions, classes)


def write_csv(file: TextIO, predictions: Iterable[Prediction], classes: tuple[str, ...]) -> int:
    """Writes predictions line by line, each at once; gives how many there were."""
    table = csv.writer(file, lineterminator="\n")
    columns = _columns(classes)
    table.writerow(columns)
    count = 0
    for prediction in predictions:
        row = _row(prediction, classes)
        table.writerow(["" if row[name] is None else row[name] for name in columns])
        file.flush()
        count += 1
    return count


def _write_parquet(path: Path, predictions: Iterable[Prediction], classes: tuple[str, ...]) -> int:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigError('Parquet needs pyarrow: pip install "torch-fusionkit[train]"') from error
    text, number = pyarrow.string(), pyarrow.float32()
    kinds = {"id": text, "prediction": text, "error": text}
    schema = pyarrow.schema([(name, kinds.get(name, number)) for name in _columns(classes)])
    count = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for rows in _groups(_row(each, classes) for each in predictions):
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))
            count += len(rows)
    return count


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    for row in rows:
        group.append(row)
        if len(group) == ROWS:
            yield group
            group = []
    if group:
        yield group


def _columns(classes: tuple[str, ...]) -> list[str]:
    return ["id", "prediction", "probability", *(f"p_{name}" for name in classes), "error"]


def _row(prediction: Prediction, classes: tuple[str, ...]) -> dict[str, Any]:
    known = prediction.label is not None
    probabilities: tuple[float | None, ...] = prediction.probabilities or (None,) * len(classes)
    return {
        "id": prediction.id,
        "prediction": classes[prediction.label] if prediction.label is not None else None,
        "probability": max(prediction.probabilities) if known else None,
        **{f"p_{name}": p for name, p in zip(classes, probabilities, strict=True)},
        "error": prediction.cause or None,
    }
