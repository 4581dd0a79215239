"""Reads the fenced blocks of a page, and the marks that say what a test does with each.

What a writer of README.md, docs/*.md or plugins/*/README.md has to know. Every fenced block is
run, in the order of the page, in an empty folder that the page has to itself:

``python``  is executed. All of a page's python blocks share their names, as in a notebook,
            and have no others: the page imports what it uses. ``fusionkit.Branch`` has
            ``weights=None`` by default.
``yaml``    is read as a recipe that stands in the file recipe.yaml.
``toml``    is parsed.
``sh``      is run command by command (``&&``, ``\\`` at a line's end and ``# comments`` are
            understood):  ``fusionkit ...`` through the command line's own code;  ``pip install -e
            FOLDER`` makes the folder's package importable and its entry points known, as pip
            would, FOLDER being the page's or the repository's;  ``pip install NAME`` does so for
            a plugin of this repository, and else checks that NAME is a distribution of ours or one
            that we declare;  ``mkdir``, ``cd``, ``python -m venv`` and ``source
            .venv/bin/activate`` as far as they matter;  ``pytest ...`` and
            ``python ...`` in a process of their own. All must end with 0.
``text``    is compared with what the block before it printed (for a block that raises: with the
            message). ``...`` stands for anything, also for lines; terminals have 100 columns.

A block of any other kind fails the test, and so does a ``sh`` command of any other name. Marks
are comments, each on a line of its own directly above the block, one or more of them:

``<!-- file: src/spiral/plugin.py -->``  the block is written to that file instead, under the folder
            that the commands so far have gone to; python is compiled and toml parsed all the same.
``<!-- append: src/spiral/plugin.py -->``  the same, at the end of a file that is there.
``<!-- raises: TypeError -->``  the block ends in this error (python, yaml), or, written
            ``<!-- raises: exit 2 -->``, the last command of a ``sh`` block in this number.
``<!-- not run: it uploads the distribution to an index -->``  nothing is done with the block, for
            the cause that stands there.
``<!-- ci: demo -->``  ``.ci/run`` runs this command in a fresh environment, and the test sees to it
            that it does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Block", "read_blocks"]

MARKS = ("append", "ci", "file", "not run", "raises")
COMMENT = re.compile(r"<!-- (?P<name>[a-z ]+): (?P<value>.+?) -->")
FENCE = re.compile(r"(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block.

    Attributes:
        kind: the first word after its fence, empty where there is none.
        text: what stands between its fences, without their indentation.
        line: the line of its first fence, counted from 1.
        marks: what the comments directly above it say, by name.
    """

    kind: str
    text: str
    line: int
    marks: dict[str, str]


def read_blocks(page: str) -> list[Block]:
    """Gives the fenced blocks of a page in their order.

    Raises:
        ValueError: a fence without an end or in the middle of a line, a mark above no block, or
            above a block an unknown mark or one that stands there twice.
    """
    blocks = []
    comments: list[tuple[str, str]] = []  # that stand directly above the present line
    lines = enumerate([*page.splitlines(), ""], start=1)
    for number, line in lines:
        if comment := COMMENT.fullmatch(line.strip()):
            comments.append((comment["name"], comment["value"]))
            continue
        if fence := FENCE.fullmatch(line):
            body = []
            for _, inner in lines:
                if _closes(inner, fence["fence"]):
                    break
                body.append(inner.removeprefix(fence["indent"]) + "\n")
            else:
                raise ValueError(f"line {number}: this block has no end")
            kind = (fence["info"].split() or [""])[0]
            blocks.append(Block(kind, "".join(body), number, _marks(comments, number)))
        else:
            if "```" in line or "~~~" in line:
                raise ValueError(f"line {number}: a fence stands on a line of its own, got {line}")
            for name, _ in comments:
                if name in MARKS:
                    raise ValueError(f"line {number}: there is no block directly below {name!r}")
        comments = []
    return blocks


def _closes(line: str, fence: str) -> bool:
    text = line.strip()
    return len(text) >= len(fence) and set(text) == {fence[0]}


def _marks(comments: list[tuple[str, str]], line: int) -> dict[str, str]:
    marks: dict[str, str] = {}
    for name, value in comments:
        if name not in MARKS:
            raise ValueError(f"line {line}: {name!r} is no mark; marks are {', '.join(MARKS)}")
        if name in marks:
            raise ValueError(f"line {line}: the mark {name!r} stands here twice")
        marks[name] = value
    return marks
