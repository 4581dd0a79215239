"""``fusionkit predict``: what a saved model says of images without labels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fusionkit.cli.terminal import open_console

__all__ = ["predict"]


def predict(
    model: Annotated[Path, typer.Argument(help="A saved model, or a run, for its best.")],
    data: Annotated[Path, typer.Argument(help="A folder of images, one image, or a manifest.")],
    *,
    out: Annotated[
        Path | None, typer.Option(help="A .csv or .parquet file; without it, CSV to the terminal.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read and decode.")] = 0,
    texts: Annotated[
        list[str] | None, typer.Option(help="An input whose cells are texts, in a manifest.")
    ] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Give the cause where an image cannot be read.")
    ] = False,
    device: Annotated[
        str, typer.Option(help="Such as cpu or cuda:1; by default a GPU where there is one.")
    ] = "auto",
) -> None:
    """Write the class and the probabilities of each image, as they come."""
    from fusionkit.runs.predict import class_names
    from fusionkit.runs.predict import predict as run
    from fusionkit.runs.prediction_file import write_csv, write_predictions
    from fusionkit.runs.saved import load_saved

    loaded = load_saved(model)
    rows = run(
        loaded,
        data,
        batch_size=batch_size,
        workers=workers,
        broken="skip" if skip_broken else "stop",
        device=device,
        texts=tuple(texts or ()),
    )
    if out is None:
        write_csv(sys.stdout, rows, class_names(loaded))
        return
    count = write_predictions(out, rows, class_names(loaded))
    open_console(stderr=True).print(f"{count} predictions in {out}")
