"""``fusionkit checkpoint match``: which architectures a file of tensors fits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fusionkit.cli.terminal import open_console, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from fusionkit.catalog import Catalog
    from fusionkit.checkpoint.matching.fit import Fit
    from fusionkit.checkpoint.matching.search import Search
    from fusionkit.tensors.source import TensorSource

__all__ = ["match"]

NO_FIT = 1
USUAL = {"model", "pytorch_model", "open_clip_model"}


def match(
    file: Annotated[
        str, typer.Argument(help="A safetensors file, the index of a sharded set, or a folder.")
    ],
    backbone: Annotated[
        list[str] | None,
        typer.Argument(help="Architectures such as timm/resnet50; without any, all are tried."),
    ] = None,
    *,
    provider: Annotated[
        str | None, typer.Option(help="Try only what this plugin offers, for example timm.")
    ] = None,
    pattern: Annotated[
        str | None, typer.Option("--filter", metavar="GLOB", help="Try only names like 'vit_*'.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many layouts are shown.")] = 10,
    everything: Annotated[
        bool, typer.Option("--all", help="Go on after the families akin to the first exact fit.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for a program.")] = False,
) -> None:
    """Find the architectures that a file fits, and the branch to write for it.

    Names and shapes are compared, nothing is loaded and nothing downloaded. What an architecture
    looks like is kept in a cache, so that a second search is quick. Ends with exit code 1 if
    nothing fits.
    """
    # A search asks every architecture, and must not fetch anything for one of them.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from fusionkit.catalog import Catalog
    from fusionkit.checkpoint.matching.fit import fit
    from fusionkit.tensors.source import open_source

    source = open_source(file)
    catalog = Catalog.installed()
    found = None
    names = list(backbone or ())
    if not names:
        found = _search(catalog, source, catalog.backbones(provider, pattern), everything)
        names = [found.found[0].names[0]] if found.found and found.found[0].fits else []
    fits = [fit(catalog.backbone(name), source, file) for name in names]
    if as_json:
        print_json(_data(found, fits, top))
    else:
        console = open_console()
        if found is not None:
            _print_search(console, found, top)
        for each in fits:
            _print_fit(console, each)
    if not any(each.branch for each in fits):
        raise typer.Exit(NO_FIT)


def _search(catalog: Catalog, source: TensorSource, names: list[str], everything: bool) -> Search:
    from fusionkit.checkpoint.matching.search import search

    theirs = {name: entry.shape for name, entry in source.entries.items()}
    with _progress(len(names)) as on_step:
        return search(catalog, names, theirs, _hint(source), everything=everything, on_step=on_step)


def _hint(source: TensorSource) -> str:
    """Gives the words in which whoever wrote the file may have named the architecture."""
    path = source.path.absolute()
    stem = path.name.partition(".safetensors")[0]
    named = path.parent.name if stem in USUAL else stem
    return " ".join([named, *source.metadata.values(), _architecture(path.parent)])


def _architecture(folder: Path) -> str:
    """Gives what timm writes down beside a file."""
    from fusionkit.errors import ConfigError
    from fusionkit.recipe.text import parse_json

    config = folder / "config.json"
    try:
        data: Any = parse_json(config.read_text(encoding="utf-8"), str(config))
    except (OSError, ValueError, ConfigError):  # only a hint
        return ""
    said = data.get("architecture") if isinstance(data, dict) else None
    return said if isinstance(said, str) else ""


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = open_console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    off = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=off) as bar:
        line = bar.add_task("", total=total)
        yield lambda name: bar.update(line, advance=1, description=name)


def _data(found: Search | None, fits: list[Fit], top: int) -> dict[str, Any]:
    data: dict[str, Any] = {
        "fits": [
            {
                "name": each.name,
                "verdict": each.verdict,
                "branch": each.branch or None,
                "report": each.report.to_data(),
            }
            for each in fits
        ]
    }
    if found is not None:
        data["tried"], data["failed"] = found.tried, list(found.failed)
        data["found"] = [{**asdict(each), "likeness": each.likeness} for each in found.found[:top]]
    return data


def _print_search(console: Console, found: Search, top: int) -> None:
    failed = f", {len(found.failed)} could not be looked at" if found.failed else ""
    rest = "" if found.whole else "; --all tries the rest, after this exact fit too"
    console.print(Text(f"{found.tried:,} architectures tried{failed}{rest}", "dim"))
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column("")
    table.add_column("found", justify="right", no_wrap=True)
    table.add_column("left over", justify="right")
    table.add_column("architectures", overflow="fold")
    fitting = [each for each in found.found if each.fits]
    for each in (fitting or found.found)[:top]:
        mark = Text("fits", "green") if each.fits else Text("near", "yellow")
        names = ", ".join(each.names[:4])
        if len(each.names) > 4:
            names += f" and {len(each.names) - 4} more of the same layout"
        table.add_row(mark, f"{each.alike:,} of {each.needed:,}", f"{each.left_over:,}", names)
    console.print(table)
    if not fitting:
        console.print(Text("Nothing fits; what is near was told by shapes alone, not by names."))
    elif len(fitting[0].names) > 1:
        console.print(
            Text(
                "Architectures of one layout may still compute different things (padding, "
                "activations, normalisation), which no file tells: compare answers on known data."
            )
        )


def _print_fit(console: Console, each: Fit) -> None:
    console.print()
    style = "bold green" if each.branch else "bold red"
    console.print(Text.assemble((each.name, "bold"), " ", (each.verdict, style)))
    console.print(Text(str(each.report).partition("\n")[2]))
    if each.others:
        ways = ", ".join(repr(way.as_prefixes()) for way in each.others)
        console.print(Text(f"The file holds more than one set; also under rename={ways}."))
    if each.branch:
        console.print()
        console.print(Text(f"  {each.branch}"), soft_wrap=True)
