"""``Ledger``: the file to which a sweep adds one line for each model, as soon as it is known."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fusionkit.errors import ConfigError
from fusionkit.testing.sweep.row import Row

__all__ = ["Ledger"]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Rows by model; of several rows of one model the last one counts.

    A line is on the disk when ``append`` returns. What a kill left of a line is not read, and
    cut off when the file is next opened.
    """

    path: Path

    def read(self) -> dict[str, Row]:
        """Gives the rows by model, sorted by name.

        Raises:
            ConfigError: a line within the file is no row.
        """
        rows: dict[str, Row] = {}
        for number, line in enumerate(self._whole_lines(), start=1):
            try:
                row = Row.parse(line.decode())
            except ValueError as error:
                raise ConfigError(
                    f"line {number} of {self.path} is not a result: {error}; "
                    "take that line out, and its model is asked again"
                ) from None
            rows[row.model] = row
        return dict(sorted(rows.items()))

    @contextmanager
    def open(self) -> Iterator[Ledger]:
        """Keeps all other sweeps out, and cuts off a torn line.

        Raises:
            ConfigError: another sweep is at work on this file.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"another sweep writes to {self.path}; wait for it, or give another --results"
                ) from None
            os.truncate(file.fileno(), sum(map(len, self._whole_lines())))
            yield self

    def append(self, row: Row) -> None:
        """Adds a row, and sees it to the disk."""
        with open(self.path, "ab") as file:
            file.write(f"{row.dump()}\n".encode())
            file.flush()
            os.fsync(file.fileno())

    def tidy(self, listed: Collection[str]) -> None:
        """Leaves one row for each model of ``listed``, sorted by name, in one step."""
        rows = (row for model, row in self.read().items() if model in listed)
        text = "".join(f"{row.dump()}\n" for row in rows)
        beside = self.path.with_name(f"{self.path.name}.new")
        beside.write_bytes(text.encode())
        beside.replace(self.path)

    def _whole_lines(self) -> list[bytes]:
        if not self.path.exists():
            return []
        lines = self.path.read_bytes().splitlines(keepends=True)
        return [line for line in lines if line.endswith(b"\n")]
