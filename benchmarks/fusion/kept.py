"""Accuracies that are kept as they come, so that a table of hours can go on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

__all__ = ["Kept"]

Key = tuple[str, str, str, int]


class Kept:
    """Accuracies by data set, number of samples, contender and draw, one to a line of a file.

    Args:
        path: the file; without one, they last as long as the run. A last line that was cut off is
            asked again.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.known: dict[Key, float] = {}
        if path is None or not path.exists():
            return
        whole, _, cut = path.read_text(encoding="utf-8").rpartition("\n")
        for line in whole.splitlines():
            *key, accuracy = json.loads(line)
            self.known[tuple(key)] = accuracy
        if cut:
            path.write_text(whole + "\n" * bool(whole), encoding="utf-8")

    def ask(self, key: Key, measure: Callable[[], float]) -> float:
        """Gives what is known, or measures it and keeps it."""
        if key not in self.known:
            self.known[key] = accuracy = measure()
            if self.path is not None:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([*key, accuracy]) + "\n")
        return self.known[key]
