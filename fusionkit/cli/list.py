"""``fusionkit list``: the names that a recipe can use."""

from __future__ import annotations

from enum import Enum
from inspect import getdoc
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.columns import Columns
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fusionkit.cli.docstring import read_docstring
from fusionkit.cli.terminal import open_console, print_json

if TYPE_CHECKING:
    from fusionkit.catalog import Catalog

__all__ = ["Kind", "list_names"]


class Kind(str, Enum):
    """What can be listed."""

    backbone = "backbone"
    head = "head"


def list_names(
    provider: Annotated[
        str | None, typer.Option(help="Only what this plugin offers, for example timm.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only backbones, or only heads.")] = None,
    pattern: Annotated[
        str | None,
        typer.Option("--filter", metavar="GLOB", help="Only names like 'resnet*' or 'timm/vit_*'."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for a program.")] = False,
) -> None:
    """List backbones and heads by name; into a pipe, one name a line."""
    from fusionkit.catalog import Catalog

    catalog = Catalog.installed()
    backbones = [] if kind is Kind.head else catalog.backbones(provider, pattern)
    heads = [] if kind is Kind.backbone else catalog.heads(provider, pattern)
    console = open_console()
    if as_json:
        entries = [_entry(catalog, Kind.backbone, name) for name in backbones]
        print_json(entries + [_entry(catalog, Kind.head, name) for name in heads])
    elif not console.is_terminal:
        for name in backbones + heads:
            typer.echo(name)
    else:
        _print_backbones(console, backbones)
        _print_heads(console, catalog, heads)
    _tell_what_is_missing(catalog, provider, nothing=not (backbones or heads))


def _entry(catalog: Catalog, kind: Kind, name: str) -> dict[str, Any]:
    entry = catalog.backbone(name) if kind is Kind.backbone else catalog.head(name)
    facts: dict[str, Any] = {"name": entry.name, "kind": kind.value}
    facts |= {"distribution": entry.distribution, "version": entry.version}
    return facts | ({"summary": _summary(entry.factory)} if kind is Kind.head else {})


def _summary(factory: object) -> str:
    """Gives the first paragraph of a factory's docstring, which is one line."""
    paragraphs, _ = read_docstring(getdoc(factory))
    return paragraphs[0] if paragraphs else ""


def _print_backbones(console: Console, names: list[str]) -> None:
    for provider, group in groupby(names, key=lambda name: name.partition("/")[0]):
        members = list(group)
        plural = "s" if len(members) != 1 else ""
        console.print(Text(f"{len(members):,} backbone{plural} of {provider}", "bold"))
        console.print(Columns([Text(name) for name in members], padding=(0, 2), column_first=True))
        console.print()


def _print_heads(console: Console, catalog: Catalog, names: list[str]) -> None:
    if not names:
        return
    console.print(Text(f"{len(names):,} head{'s' if len(names) != 1 else ''}", "bold"))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for name in names:
        table.add_row(name, _summary(catalog.head(name).factory))
    console.print(table)


def _tell_what_is_missing(catalog: Catalog, provider: str | None, *, nothing: bool) -> None:
    console = open_console(stderr=True)
    if nothing:
        console.print("nothing matches")
    if provider is None:
        failed = [record.name for record in catalog.plugins() if record.state == "failed"]
        if failed:
            console.print(f"left out: {', '.join(failed)} (failed; `fusionkit plugins` says why)")
