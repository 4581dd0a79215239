"""``fusionkit plugins``: what is installed, what it offers, and why something failed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fusionkit.cli.terminal import open_console, print_json

if TYPE_CHECKING:
    from fusionkit.catalog import PluginRecord

__all__ = ["show_plugins"]


def show_plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for a program.")] = False,
) -> None:
    """Show the installed plugins, what each offers, and why one failed."""
    from fusionkit.catalog import Catalog

    catalog = Catalog.installed()
    records = catalog.plugins()
    if as_json:
        print_json(
            {
                "plugins": [asdict(record) for record in records],
                "skipped": [asdict(skipped) for skipped in catalog.skipped],
            }
        )
        return
    console = open_console()
    if not records:
        console.print("no plugins")
    else:
        console.print(_table(records))
    for record in records:
        if record.reason is not None:
            _print_item(console, record.name, record.reason, "red")
        for note in record.notes:
            _print_item(console, record.name, f"{note} while it was loaded; set back", "yellow")
    for skipped in catalog.skipped:
        _print_item(console, f"skipped {skipped.distribution}", skipped.reason, "yellow")


def _table(records: tuple[PluginRecord, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for heading in ("plugin", "distribution", "version", "offers"):
        table.add_column(heading, overflow="fold", header_style="bold")
    for record in records:
        table.add_row(
            record.name, record.distribution or "-", record.version or "-", _offers(record)
        )
    return table


def _offers(record: PluginRecord) -> Text:
    if record.state != "loaded":
        return Text(record.state, "red" if record.state == "failed" else "yellow")
    counts = [
        f"{count:,} {word}{'s' if count != 1 else ''}"
        for count, word in ((record.backbones, "backbone"), (record.heads, "head"))
        if count
    ]
    return Text(", ".join(counts) or "nothing")


def _print_item(console: Console, what: str, text: str, style: str) -> None:
    console.print()
    console.print(Text.assemble((f"{what}: ", style), text))
