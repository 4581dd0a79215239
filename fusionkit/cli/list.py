"""``fusionkit list``: the names that a recipe can use."""

from __future__ import annotations

from dataclasses import asdict
from enum import Enum
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.columns import Columns
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fusionkit.cli.heads import HeadLine, group_heads, list_heads
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
    heads = [] if kind is Kind.backbone else list_heads(catalog, provider, pattern)
    console = open_console()
    if as_json:
        print_json([_backbone(catalog, name) for name in backbones] + [_head(h) for h in heads])
    elif not console.is_terminal:
        for name in [*backbones, *(head.name for head in heads)]:
            typer.echo(name)
    else:
        _print_backbones(console, backbones)
        _print_heads(console, heads)
    _tell_what_is_missing(catalog, provider, nothing=not (backbones or heads))


def _backbone(catalog: Catalog, name: str) -> dict[str, Any]:
    entry = catalog.backbone(name)
    facts = {"name": entry.name, "kind": Kind.backbone.value}
    return facts | {"distribution": entry.distribution, "version": entry.version}


def _head(head: HeadLine) -> dict[str, Any]:
    facts = asdict(head)
    return {"name": facts.pop("name"), "kind": Kind.head.value, **facts}


def _print_backbones(console: Console, names: list[str]) -> None:
    for provider, group in groupby(names, key=lambda name: name.partition("/")[0]):
        members = list(group)
        plural = "s" if len(members) != 1 else ""
        console.print(Text(f"{len(members):,} backbone{plural} of {provider}", "bold"))
        console.print(Columns([Text(name) for name in members], padding=(0, 2), column_first=True))
        console.print()


def _print_heads(console: Console, heads: list[HeadLine]) -> None:
    width = max((len(head.name) for head in heads), default=0)
    for number, (title, members) in enumerate(group_heads(heads)):
        if number:
            console.print()
        console.print(Text(title, "bold"))
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, min_width=width)
        table.add_column()
        for head in members:
            mark = "recommended: " if head.recommended else ""
            table.add_row(head.name, Text.assemble((mark, "bold green"), head.summary))
        console.print(table)


def _tell_what_is_missing(catalog: Catalog, provider: str | None, *, nothing: bool) -> None:
    console = open_console(stderr=True)
    if nothing:
        console.print("nothing matches")
    if provider is None:
        failed = [record.name for record in catalog.plugins() if record.state == "failed"]
        if failed:
            console.print(f"left out: {', '.join(failed)} (failed; `fusionkit plugins` says why)")
