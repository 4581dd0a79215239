"""``fusionkit info NAME``: what one backbone or head is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fusionkit.cli.facts import BackboneFacts, FactoryOption, HeadFacts, study_backbone, study_head
from fusionkit.cli.list import Kind
from fusionkit.cli.terminal import open_console, print_json
from fusionkit.errors import ConfigError

if TYPE_CHECKING:
    from fusionkit.catalog import Catalog
    from fusionkit.preprocessing import Preprocessing

__all__ = ["show_info"]


def show_info(
    name: Annotated[
        str, typer.Argument(help="A backbone such as timm/resnet18, or a head such as concat.")
    ],
    kind: Annotated[
        Kind | None, typer.Option(help="Which one, where a plugin has both of that name.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for a program.")] = False,
) -> None:
    """Show what a backbone or head is made of; downloads nothing."""
    from fusionkit.catalog import Catalog

    facts = _study(Catalog.installed(), name, kind)
    if as_json:
        print_json(
            {"kind": "head" if isinstance(facts, HeadFacts) else "backbone", **asdict(facts)}
        )
    elif isinstance(facts, HeadFacts):
        _print_head(open_console(), facts)
    else:
        _print_backbone(open_console(), facts)


def _study(catalog: Catalog, name: str, kind: Kind | None) -> BackboneFacts | HeadFacts:
    if kind is Kind.head or (kind is None and "/" not in name):
        return study_head(catalog.head(name))
    try:
        entry = catalog.backbone(name)
    except ConfigError:
        if kind is None and name in catalog.heads():
            return study_head(catalog.head(name))
        raise
    return study_backbone(entry)


def _print_backbone(console: Console, facts: BackboneFacts) -> None:
    console.print(Text(facts.name, "bold"))
    table = _facts_table()
    table.add_row("from", _origin(facts))
    table.add_row("parameters", f"{facts.parameters:,}")
    table.add_row("vector", f"{facts.embed_dim:,} wide")
    table.add_row("maps", _maps(facts))
    table.add_row("input", _input(facts))
    if facts.preprocessing is not None:
        table.add_row("prepared by", _preparation(facts.preprocessing))
    if facts.weights is not None:
        table.add_row("weights", ", ".join(facts.weights) or "none")
    console.print(table)
    stages = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    stages.add_column("stage")
    stages.add_column("blocks", justify="right")
    stages.add_column("parameters", justify="right")
    for stage in facts.stages:
        stages.add_row(stage.name, str(stage.blocks), f"{stage.parameters:,}")
    console.print()
    console.print(stages)
    _print_options(console, facts.options)


def _print_head(console: Console, facts: HeadFacts) -> None:
    console.print(Text(facts.name, "bold"))
    for paragraph in facts.description:
        console.print(Text(paragraph))
        console.print()
    table = _facts_table()
    table.add_row("from", _origin(facts))
    if facts.card is not None:
        table.add_row("joins", f"{facts.card.reads}, {facts.card.branches}")
        table.add_row("formula", Text(facts.card.formula))
        table.add_row("papers", Text("\n".join(facts.card.papers)))
        table.add_row("when", Text(facts.card.when))
    console.print(table)
    _print_options(console, facts.options)


def _print_options(console: Console, options: Sequence[FactoryOption]) -> None:
    if not options:
        return
    console.print()
    console.print(Text("options", "bold"))
    for option in options:
        default = f" = {option.default}" if option.default is not None else " (must be given)"
        type_ = f": {option.type}" if option.type else ""
        console.print(Text.assemble((option.name, "bold"), (f"{type_}{default}", "dim")))
        if option.description:
            console.print(Padding(Text(option.description), (0, 0, 0, 4), expand=False))


def _facts_table() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _origin(facts: BackboneFacts | HeadFacts) -> str:
    return f"{facts.distribution or 'a plugin given in Python'} {facts.version or ''}".rstrip()


def _maps(facts: BackboneFacts) -> str:
    """Gives width and stride of each level, with equal ones in a row counted."""
    runs = [(level, len(list(group))) for level, group in groupby(facts.levels)]
    return (
        ", ".join(
            f"{count} x {level.channels:,} at 1/{level.stride}"
            if count > 1
            else f"{level.channels:,} at 1/{level.stride}"
            for level, count in runs
        )
        or "none"
    )


def _input(facts: BackboneFacts) -> str:
    size = facts.fixed_size or (facts.preprocessing and facts.preprocessing.size)
    shape = (
        f"{facts.in_channels} x {size[0]} x {size[1]}" if size else f"{facts.in_channels} channels"
    )
    if facts.fixed_size is not None:
        return f"{shape}, no other size"
    if facts.size_multiple > 1:
        return f"{shape}, or other multiples of {facts.size_multiple} pixels"
    return f"{shape}, or other sizes"


def _preparation(preprocessing: Preprocessing) -> str:
    size, resize = preprocessing.size, preprocessing.resize or preprocessing.size
    to = f"{resize}" if isinstance(resize, int) else f"{resize[0]} x {resize[1]}"
    steps = [
        f"resize to {to} ({preprocessing.interpolation})",
        f"crop {size[0]} x {size[1]}",
        f"mean {_numbers(preprocessing.mean)}",
        f"std {_numbers(preprocessing.std)}",
    ]
    if preprocessing.frames is not None:
        steps.insert(0, f"{preprocessing.frames} frames")
    return ", ".join(steps)


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4g}" for value in values)
