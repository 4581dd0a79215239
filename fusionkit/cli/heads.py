"""What ``fusionkit list`` tells of each head, and in which order and groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from inspect import getdoc
from itertools import groupby
from typing import TYPE_CHECKING

from fusionkit.card import card_of
from fusionkit.cli.docstring import read_docstring
from fusionkit.errors import PluginError

if TYPE_CHECKING:
    from fusionkit.catalog import Catalog

__all__ = ["HeadLine", "group_heads", "list_heads"]

KINDS = ("scores", "vectors", "maps", "tokens")


@dataclass(frozen=True, slots=True)
class HeadLine:
    """One head in a list.

    Attributes:
        name: as a recipe writes it.
        distribution: what it came with, or ``None`` for a plugin given in Python.
        version: that distribution's version.
        summary: the first paragraph of its docstring; of one that fails, why.
        reads: what it joins, or ``None`` where it has no card.
        recommended: whether its plugin says to begin with it.
    """

    name: str
    distribution: str | None
    version: str | None
    summary: str
    reads: str | None = None
    recommended: bool = False


def list_heads(catalog: Catalog, provider: str | None, pattern: str | None) -> list[HeadLine]:
    """Gives the heads by plugin, fusionkit's own first, and of each the recommended one first."""
    heads = [_look(catalog, name) for name in catalog.heads(provider, pattern)]
    plugins = [list(group) for _, group in groupby(heads, key=_plugin_of)]
    return [head for each in plugins for head in sorted(each, key=lambda one: not one.recommended)]


def group_heads(heads: list[HeadLine]) -> Iterator[tuple[str, list[HeadLine]]]:
    """Gives a title and the heads under it, by what they join; what does not say comes last."""
    order = {kind: number for number, kind in enumerate(KINDS)}
    first = next((head.reads for head in heads if head.recommended), None)
    for kind in sorted(order, key=lambda kind: (kind != first, order[kind])):
        members = [head for head in heads if head.reads == kind]
        if members:
            yield f"{_count(members)} that join{'s' if len(members) == 1 else ''} {kind}", members
    others = [head for head in heads if head.reads is None]
    if others:
        yield _count(others, "other " if len(others) < len(heads) else ""), others


def _look(catalog: Catalog, name: str) -> HeadLine:
    try:
        entry = catalog.head(name)
    except PluginError as error:  # of one head, such as a missing library; the others are there
        return HeadLine(name, None, None, str(error))
    paragraphs, _ = read_docstring(getdoc(entry.factory))
    line = HeadLine(name, entry.distribution, entry.version, paragraphs[0] if paragraphs else "")
    card = card_of(entry.factory)
    return line if card is None else replace(line, reads=card.reads, recommended=card.recommended)


def _plugin_of(head: HeadLine) -> str:
    return head.name.partition("/")[0] if "/" in head.name else ""


def _count(heads: list[HeadLine], other: str = "") -> str:
    return f"{len(heads):,} {other}head{'s' if len(heads) != 1 else ''}"
