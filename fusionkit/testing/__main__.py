"""``python -m fusionkit.testing``: asks every model of a provider, and writes the table."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: each process asks one model
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import typer

from fusionkit.errors import FusionKitError

__all__ = ["app"]

RESULTS = Path("coverage")
TABLE = Path("docs/coverage.md")

T = TypeVar("T")

app = typer.Typer(
    name="python -m fusionkit.testing",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def sweep(
    *,
    provider: Annotated[str, typer.Option(help="Whose models, for example timm.")],
    results: Annotated[
        Path, typer.Option(help="The folder that keeps a line for each model.")
    ] = RESULTS,
    models: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Only models like 'resnet*'.")
    ] = None,
    number: Annotated[
        int | None, typer.Option("--random", help="Only so many, drawn at random; asked again.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    one_of_each_family: Annotated[
        bool, typer.Option("--one-of-each-family", help="Only the smallest model of each family.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Ask too what has passed in these versions.")
    ] = False,
    checks: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Only these checks; kept apart, not in the table."),
    ] = None,
    also: Annotated[
        str | None, typer.Option(metavar="A,B", help="These slow checks too, or 'slow' for all.")
    ] = None,
    on_meta: Annotated[
        bool, typer.Option("--on-meta", help="Only shapes and structure, built without data.")
    ] = False,
    rest_on_meta: Annotated[
        bool,
        typer.Option("--rest-on-meta", help="So for what is left; the next sweep asks it in full."),
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 2,
    memory_gib: Annotated[float, typer.Option(help="What one process may hold.")] = 8.0,
    minutes: Annotated[float, typer.Option(help="What one model may take.")] = 15.0,
) -> None:
    """Ask every model of a provider, each in its own process; goes on where it was stopped.

    What had too little memory or time is asked again where there is more now.
    """
    from fusionkit.testing.sweep.command import Choice, ask_models

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that its processes end too
    choice = Choice(
        provider=provider,
        glob=models,
        number=number,
        seed=seed,
        one_of_each_family=one_of_each_family,
        again=again,
        checks=_listed(checks),
        also=_listed(also) or (),
        on_meta=on_meta,
        rest_on_meta=rest_on_meta,
    )
    good = _refuse_plainly(
        lambda: ask_models(
            choice, results, jobs=jobs, memory_gib=memory_gib, minutes=minutes, say=typer.echo
        )
    )
    raise typer.Exit(0 if good else 1)


@app.command()
def pairs(
    *,
    providers: Annotated[
        str, typer.Option(metavar="A,B", help="Whose models.")
    ] = "timm,torchvision",
    count: Annotated[int, typer.Option(min=1, help="How many pairs.")] = 500,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    largest: Annotated[
        float | None,
        typer.Option(metavar="MILLION", help="Only models of at most so many parameters."),
    ] = None,
    results: Annotated[
        Path, typer.Option(help="The folder of a sweep, which knows the parameters.")
    ] = RESULTS,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 2,
    memory_gib: Annotated[float, typer.Option(help="What one process may hold.")] = 8.0,
    minutes: Annotated[float, typer.Option(help="What one pair may take.")] = 15.0,
) -> None:
    """Join pairs of models drawn at random: compose, one step, save, load, the same bits."""
    from fusionkit.catalog import Catalog
    from fusionkit.testing.pairs.command import join_pairs, small_enough
    from fusionkit.testing.sweep.coverage import read_results
    from fusionkit.testing.sweep.run import Limits

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    def join() -> bool:
        catalog = Catalog.installed()
        names = [name for each in providers.split(",") for name in catalog.backbones(each)]
        if largest is not None:
            known = {row.model: row for rows in read_results(results).values() for row in rows}
            names = small_enough(names, known, largest)
        limits = Limits(memory_gib, minutes)
        return join_pairs(
            names, count, seed, limits=limits, jobs=jobs, say=typer.echo, catalog=catalog
        )

    raise typer.Exit(0 if _refuse_plainly(join) else 1)


@app.command()
def table(
    results: Annotated[Path, typer.Option(help="The folder that a sweep wrote.")] = RESULTS,
    output: Annotated[Path, typer.Option(help="The page to write.")] = TABLE,
) -> None:
    """Write the page that says which models passed, and every exception with its cause."""
    from fusionkit.testing.sweep.asked import digest_of_today
    from fusionkit.testing.sweep.coverage import read_results, write_page

    text = _refuse_plainly(lambda: write_page(read_results(results), digest_of_today()))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    typer.echo(f"wrote {output}")


def _listed(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part for part in text.split(",") if part)


def _refuse_plainly(do: Callable[[], T]) -> T:
    """Does something, and turns what fusionkit refuses into one message and exit code 2."""
    try:
        return do()
    except FusionKitError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    app()
