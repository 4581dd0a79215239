"""Pieces of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["escape", "fold", "link_papers", "short", "table"]

ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Gives a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def fold(title: str, text: str) -> str:
    """Gives text that is shown at a click."""
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def link_papers(text: str) -> str:
    """Makes each arXiv number a link."""
    return ARXIV.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


def escape(text: str) -> str:
    """Keeps plain text from being read as Markdown; what stands in backticks stays."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*<\\])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def short(number: int) -> str:
    """Gives a number with three digits: 102 k, 1.23 M, 4.80e+23."""
    if number >= 10**18:
        return f"{number:.2e}"
    for unit, name in ((10**15, "P"), (10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= unit:
            scaled = number / unit
            return f"{scaled:.{0 if scaled >= 100 else 1 if scaled >= 10 else 2}f} {name}"
    return str(number)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
