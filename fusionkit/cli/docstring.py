"""Reads a docstring in Google style for a person who will not see its source."""

from __future__ import annotations

import re
from inspect import cleandoc

__all__ = ["read_docstring"]

SECTION = re.compile(r"(Args|Arguments|Attributes|Example|Examples|Raises|Returns|Note|Yields):")
ARGUMENT = re.compile(r"(\w+)(?: \([^)]*\))?:\s*(.*)")


def read_docstring(text: str | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """Gives the paragraphs before the first section, and what ``Args`` says of each argument."""
    lines = cleandoc(text or "").splitlines()
    start = next((i for i, line in enumerate(lines) if SECTION.fullmatch(line)), len(lines))
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines[:start]))
    arguments: dict[str, str] = {}
    section = name = ""
    for line in lines[start:]:
        if SECTION.fullmatch(line):
            section, name = line, ""
        elif section.startswith("Arg"):
            found = (
                ARGUMENT.fullmatch(line.strip()) if len(line) - len(line.lstrip()) == 4 else None
            )
            if found:
                name = found[1]
                arguments[name] = found[2]
            elif name and line.strip():
                arguments[name] += " " + line.strip()
    return (
        tuple(_plain(paragraph) for paragraph in paragraphs if paragraph.strip()),
        {name: _plain(said) for name, said in arguments.items()},
    )


def _plain(text: str) -> str:
    return " ".join(text.replace("``", "").split())
