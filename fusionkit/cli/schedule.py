"""``fusionkit schedule``: what a recipe will train, in which epoch, and how fast."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fusionkit.cli.fit import Settings, read_settings
from fusionkit.cli.terminal import open_console

__all__ = ["schedule"]

CLASSES = 2
"""Stands in for a count that the data will say; no rate depends on it."""


def schedule(
    recipe: Annotated[Path, typer.Argument(help="A recipe, with its section training.")],
    *,
    out: Annotated[
        Path | None, typer.Option(help="Draw it into this file: .png, .svg or .pdf.")
    ] = None,
    set_: Settings = None,
    epochs: Annotated[int | None, typer.Option(help="Set training.epochs.")] = None,
    steps_per_epoch: Annotated[
        int, typer.Option(min=1, help="Steps of the optimizer; matters for schedules by step.")
    ] = 100,
) -> None:
    """Show what learns in which epoch and how fast, before a run: stages down, epochs along."""
    from fusionkit.assembly.compose import assemble
    from fusionkit.catalog import Catalog
    from fusionkit.training.picture import draw_plan
    from fusionkit.training.planning import plan

    job = read_settings(recipe, None, set_, {"training.epochs": epochs})
    classes = job.recipe.num_classes or CLASSES
    model = assemble(
        replace(job.recipe, num_classes=classes), Catalog.installed(), load_weights=False
    )
    shape = job.training.schedule
    planned = plan(
        model,
        job.training.epochs,
        lr=job.training.lr,
        shape=shape.name,
        steps_per_epoch=steps_per_epoch,
        **shape.options,
    )
    open_console().print(str(planned), soft_wrap=True)
    if out is not None:
        draw_plan(planned, out)
        open_console(stderr=True).print(f"\ndrawn into {out}", soft_wrap=True)
