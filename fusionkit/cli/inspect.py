"""``fusionkit checkpoint inspect``: what is in a file of tensors, without reading them."""

from __future__ import annotations

from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fusionkit.cli.terminal import open_console, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusionkit.checkpoint.config import SavedModel
    from fusionkit.checkpoint.survey import Survey
    from fusionkit.tensors.header import TensorEntry

__all__ = ["inspect"]


def inspect(
    file: Annotated[
        Path,
        typer.Argument(help="A safetensors file, the index of a sharded set, or a saved folder."),
    ],
    *,
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor.")] = False,
    pattern: Annotated[
        str | None,
        typer.Option("--filter", metavar="GLOB", help="Only tensors like 'layer4.*'."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for a program.")] = False,
) -> None:
    """Show what is in a checkpoint; reads its headers, and none of its tensors."""
    from fusionkit.checkpoint.survey import survey

    found = survey(file)
    if pattern is not None:
        kept = {n: each for n, each in found.entries.items() if fnmatchcase(n, pattern)}
        found = replace(found, entries=kept)
    if as_json:
        print_json(_data(found))
        return
    console = open_console()
    _print_facts(console, found)
    if not found.entries:
        console.print(Text("no tensors" if pattern is None else "no tensor has such a name"))
    elif tensors:
        console.print(_tensor_table(found.entries))
    else:
        console.print(_module_table(found))
    guesses = found.guesses() if pattern is None and found.saved is None else ()
    if guesses:
        console.print()
        console.print(Text("guessed from names and shapes", "bold"))
        for guess in guesses[:8]:
            console.print(Text(f"  {guess}"))


def _data(found: Survey) -> dict[str, Any]:
    from fusionkit.recipe.form import recipe_to_data

    saved = found.saved
    return {
        "path": str(found.path),
        "files": dict(found.files),
        "metadata": dict(found.metadata),
        "saved": None
        if saved is None
        else {
            "recipe": recipe_to_data(saved.recipe),
            "epoch": saved.epoch,
            "fusionkit": saved.fusionkit,
            "torch": saved.torch,
            "head": saved.head,
            "branches": {name: asdict(each) for name, each in saved.branches.items()},
        },
        "total": asdict(found.total) if found.entries else None,
        "modules": [asdict(row) for row in found.modules()],
        "tensors": {
            name: {"dtype": entry.dtype, "shape": list(entry.shape)}
            for name, entry in found.entries.items()
        },
        "guesses": list(found.guesses()),
    }


def _print_facts(console: Console, found: Survey) -> None:
    console.print(Text(str(found.path), "bold"))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    size = _size(sum(found.files.values()))
    count = f"{len(found.files)} files" if len(found.files) > 1 else "1 file"
    table.add_row("size", f"{size} in {count}")
    for key, text in found.metadata.items():
        table.add_row("metadata", Text(f"{key:.80}: {text:.400}"))
    if found.saved is not None:
        _add_saved(table, found.saved)
    console.print(table)
    console.print()


def _add_saved(table: Table, saved: SavedModel) -> None:
    recipe = saved.recipe
    table.add_row("saved by", f"fusionkit {saved.fusionkit}, torch {saved.torch}")
    table.add_row("classes", f"{recipe.num_classes:,}")
    table.add_row("epoch", str(saved.epoch))
    for name, branch in saved.branches.items():
        written = recipe.branches[name]
        weights = branch.weights or "random weights"
        said = f"{written.backbone} ({weights}), {branch.embed_dim:,} wide, from {branch.origin}"
        table.add_row(f"branch {name}", Text(said))
    table.add_row("head", Text(f"{recipe.head.name}, from {saved.head}"))


def _module_table(found: Survey) -> Table:
    table = _table("module", "tensors", "values", "size", "types", "shape")
    rows = [(row.name or "(in none)", row) for row in found.modules()]
    for name, row in [*rows, ("all", found.total)]:
        table.add_row(
            Text(name),
            f"{row.tensors:,}",
            f"{row.values:,}",
            _size(row.bytes),
            " ".join(row.dtypes),
            "" if row.shape is None else _shape(row.shape),
        )
    return table


def _tensor_table(entries: Mapping[str, TensorEntry]) -> Table:
    table = _table("tensor", "values", "size", "type", "shape")
    for name, each in entries.items():
        size = _size(each.end - each.start)
        table.add_row(Text(name), f"{prod(each.shape):,}", size, each.dtype, _shape(each.shape))
    return table


def _table(first: str, *headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column(first, overflow="fold")
    for heading in headings:
        figures = heading in ("tensors", "values", "size")
        table.add_column(heading, justify="right" if figures else "left", no_wrap=figures)
    return table


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one value"


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
