"""Rows of a CSV or Parquet file, each with where it stands."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit.errors import ConfigError, DataError

__all__ = ["Table", "read_table"]

DELIMITERS = {".csv": ",", ".tsv": "\t"}
PARQUET = (".parquet", ".pq")


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows, all values as text.

    Attributes:
        path: of the file.
        columns: their names.
        rows: the values of each row, by column.
        places: where each row stands, for errors.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    places: tuple[str, ...]


def read_table(path: Path) -> Table:
    """Gives the rows of a CSV, TSV or Parquet file.

    Raises:
        DataError: it cannot be read, or a row does not have the columns that the first line names.
        ConfigError: it is of another kind, or what reads it is not installed.
    """
    suffix = path.suffix.lower()
    if suffix in DELIMITERS:
        return _read_text(path, DELIMITERS[suffix])
    if suffix in PARQUET:
        return _read_parquet(path)
    raise ConfigError(f"{path} is no manifest: one ends in .csv, .tsv or .parquet")


def _read_text(path: Path, delimiter: str) -> Table:
    rows: list[dict[str, str]] = []
    places: list[str] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            columns = _check_columns(path, next(reader, []))
            for cells in reader:
                place = f"{path}:{reader.line_num}"
                if not cells:
                    continue
                if len(cells) != len(columns):
                    raise DataError(
                        f"{place}: has {len(cells)} values, but the first line names "
                        f"{len(columns)} columns; quote values that hold {delimiter!r}"
                    )
                rows.append({name: cell.strip() for name, cell in zip(columns, cells, strict=True)})
                places.append(place)
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    return Table(path, columns, tuple(rows), tuple(places))


def _read_parquet(path: Path) -> Table:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ConfigError(
            f"{path}: a Parquet file is read by pyarrow: pip install pyarrow, or "
            'pip install "torch-fusionkit[train]"'
        ) from None
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    columns = _check_columns(path, table.column_names)
    for name in columns:
        kind = table.schema.field(name).type
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            raise DataError(
                f"{path}: the column {name!r} holds {kind}, where a manifest holds paths; open "
                "files that hold the images with datasets.Dataset.from_parquet"
            )
    values = {name: [_text(value) for value in table[name].to_pylist()] for name in columns}
    rows = tuple({name: values[name][row] for name in columns} for row in range(table.num_rows))
    return Table(path, columns, rows, tuple(f"{path}, row {row}" for row in range(len(rows))))


def _check_columns(path: Path, columns: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in columns)
    if not names:
        raise DataError(f"{path} is empty; its first line names the columns")
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path}: the column {name!r} stands there twice")
    return names


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a column of whole numbers with a gap comes as floats
    return str(value).strip()
