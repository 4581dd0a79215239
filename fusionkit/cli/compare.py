"""``fusionkit compare``: a recipe against its parts and against other ways to train it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fusionkit.cli.fit import Settings, read_settings
from fusionkit.cli.terminal import open_console

if TYPE_CHECKING:
    from fusionkit.runs.fit import Fitted

__all__ = ["compare"]


def compare(
    recipe: Annotated[Path, typer.Argument(help="A recipe, with its sections data and training.")],
    *,
    data: Annotated[
        Path | None, typer.Option(help="Image folder or manifest; in place of data.source.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="For all runs; by default comparisons/ and its name.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many times each is trained.")] = 3,
    only: Annotated[
        list[str] | None, typer.Option(help="Compare this one, by its title; may be repeated.")
    ] = None,
    set_: Settings = None,
    epochs: Annotated[int | None, typer.Option(help="Set training.epochs.")] = None,
    workers: Annotated[int | None, typer.Option(help="Set data.workers.")] = None,
    cache: Annotated[
        bool, typer.Option("--cache", help="Keep frozen branches' features from run to run.")
    ] = False,
) -> None:
    """Train a recipe, its branches alone, and the usual ways to fuse and to transfer.

    The same data and seeds for all: average, concat, from scratch, feature extraction,
    discriminative fine-tuning, gradual unfreezing. Ends with a table and a picture with the spread
    over the seeds. Stopped, the same command goes on.
    """
    from fusionkit.runs.compare import compare as run
    from fusionkit.runs.compare_report import draw, tabulate, write_files

    short = {"training.epochs": epochs, "data.workers": workers, "training.cache": cache or None}
    job = read_settings(recipe, data, set_, short)
    folder = out or Path("comparisons") / recipe.stem
    console = open_console()

    def tell(title: str, fitted: Fitted) -> None:
        console.print(f"{title:<28} {fitted.score.accuracy:.4f}  {fitted.seconds:.1f} s")

    outcomes = run(job, folder, range(seeds), only=only or (), after_run=tell)
    write_files(outcomes, folder)
    draw(outcomes, folder / "compare.png")
    console.print()
    console.print(tabulate(outcomes))
    console.print(f"\nAll runs, compare.csv and compare.png are in {folder}")
