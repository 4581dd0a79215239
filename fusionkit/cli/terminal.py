"""Writes for a person at a terminal, for a pipe, and for a program."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

__all__ = ["open_console", "print_json", "show_warnings_briefly"]

UNBROKEN = 10_000


def open_console(*, stderr: bool = False) -> Console:
    """Gives a console as wide as the terminal; into a pipe no line is broken."""
    console = Console(stderr=stderr, highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console.width = UNBROKEN
    return console


def print_json(data: Any) -> None:
    """Writes data for a program to read."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def show_warnings_briefly() -> Iterator[None]:
    """Makes a warning in the block one line on stderr, without the place in the source."""

    def show(  # noqa: PLR0917 -- as the standard library calls it
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        open_console(stderr=True).print(Text.assemble(("warning: ", "bold yellow"), str(message)))

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
