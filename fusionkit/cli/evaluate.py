"""``fusionkit evaluate``: how good a saved model is on labelled samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fusionkit.cli.terminal import open_console, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from fusionkit.runs.measure import Score

__all__ = ["evaluate"]

MOST_CLASSES = 12
"""Up to so many a confusion matrix can be read in a terminal."""


def evaluate(
    model: Annotated[Path, typer.Argument(help="A saved model, or a run, for its best.")],
    *,
    data: Annotated[Path, typer.Option(help="Image folder or manifest.")],
    split: Annotated[
        str | None, typer.Option(help="By default test where there is one, else val, else all.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read and decode.")] = 0,
    label: Annotated[str, typer.Option(help="The column of the label, in a manifest.")] = "label",
    texts: Annotated[
        list[str] | None, typer.Option(help="An input whose cells are texts, in a manifest.")
    ] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out what cannot be read, and name it.")
    ] = False,
    device: Annotated[
        str, typer.Option(help="Such as cpu or cuda:1; by default a GPU where there is one.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Measure a saved model on samples whose labels are known."""
    from fusionkit.runs.evaluate import evaluate as run
    from fusionkit.runs.predict import class_names
    from fusionkit.runs.saved import load_saved

    loaded = load_saved(model)
    score = run(
        loaded,
        data,
        split,
        batch_size=batch_size,
        workers=workers,
        broken="skip" if skip_broken else "stop",
        texts=tuple(texts or ()),
        label=label,
        device=device,
    )
    classes = class_names(loaded)
    if as_json:
        print_json({"classes": list(classes), **score.to_data()})
        return
    console = open_console()
    console.print(
        f"{score.samples} samples: accuracy {score.accuracy:.4f}, balanced "
        f"{score.balanced_accuracy:.4f}, loss {score.loss:.4f}, calibration error "
        f"{score.calibration_error:.4f}"
    )
    console.print(_by_class(score, classes))
    for sample_id, cause in score.broken:
        console.print(f"left out: {sample_id}: {cause}")


def _by_class(score: Score, classes: tuple[str, ...]) -> Table:
    from rich.table import Table

    shows_all = len(classes) <= MOST_CLASSES
    table = Table(title="of each class, how many were taken for which" if shows_all else None)
    table.add_column("class")
    table.add_column("samples", justify="right")
    table.add_column("right", justify="right")
    for name in classes if shows_all else ():
        table.add_column(name, justify="right")
    for name, share, row in zip(classes, score.by_class, score.confusion, strict=True):
        taken = [str(count) if count else "." for count in row] if shows_all else []
        right = "-" if share != share else f"{share:.3f}"  # noqa: PLR0124 -- NaN
        table.add_row(name, str(sum(row)), right, *taken)
    return table
