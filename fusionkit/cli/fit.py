"""``fusionkit fit``: trains what a recipe describes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fusionkit.cli.terminal import open_console
from fusionkit.errors import some_of

if TYPE_CHECKING:
    from fusionkit.runs.fit import Fitted

__all__ = ["Settings", "fit", "read_settings"]

MOST_NAMES = 3
INTERRUPTED = 130
"""As a shell has it: 128 and the number of SIGINT."""

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Set a field of the recipe, such as training.lr=3e-4 or branches.rgb.freeze=all.",
    ),
]


def fit(
    recipe: Annotated[Path, typer.Argument(help="A recipe, with its sections data and training.")],
    *,
    data: Annotated[
        Path | None, typer.Option(help="Image folder or manifest; in place of data.source.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; by default runs/ and the recipe's name.")
    ] = None,
    set_: Settings = None,
    epochs: Annotated[int | None, typer.Option(help="Set training.epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Set training.batch_size.")] = None,
    lr: Annotated[float | None, typer.Option(help="Set training.lr, the head's rate.")] = None,
    seed: Annotated[int | None, typer.Option(help="Set training.seed.")] = None,
    workers: Annotated[int | None, typer.Option(help="Set data.workers.")] = None,
    cache: Annotated[
        bool, typer.Option("--cache", help="Set training.cache: keep frozen branches' features.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, to the same bits.")
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="With --resume: what may have changed, such as training.epochs."),
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Show the recipe as it would run, and end.")
    ] = False,
) -> None:
    """Train a model by a recipe, and save the best one.

    Leaves a folder with the resolved recipe, the environment, the figures of each epoch (CSV and
    TensorBoard), states to go on from, and best/, a model for fusionkit.load, evaluate and
    predict.
    """
    from fusionkit.runs.job_file import format_job

    short = {
        "training.epochs": epochs,
        "training.batch_size": batch_size,
        "training.lr": lr,
        "training.seed": seed,
        "training.cache": cache or None,
        "data.workers": workers,
    }
    job = read_settings(recipe, data, set_, short)
    if print_config:
        typer.echo(format_job(job), nl=False)
        return
    from fusionkit.runs.fit import fit as run
    from fusionkit.runs.processes import is_first

    console = open_console()
    folder = out or Path("runs") / recipe.stem
    try:
        fitted = run(job, folder, resume=resume, allow=allow or (), console=console)
    except KeyboardInterrupt as error:
        _say_where_it_stands(folder)
        raise typer.Exit(INTERRUPTED) from error
    except SystemExit:  # SIGTERM or SIGHUP, after saving
        if is_first(job.training):
            _say_where_it_stands(folder)
        raise
    if is_first(job.training):
        console.print(_closing(fitted))


def _say_where_it_stands(folder: Path) -> None:
    from fusionkit.runs.run_folder import RunFolder

    saved = RunFolder(folder).has_learned()
    said = f"stopped; --resume goes on with {folder}" if saved else "stopped before the first save"
    open_console(stderr=True).print(said)


def read_settings(
    recipe: Path, data: Path | None, settings: list[str] | None, short: dict[str, Any]
) -> Any:
    """Gives the job of a recipe's file, with what the command line says in its place."""
    import json

    from fusionkit.runs.job_file import read_job

    overrides = [
        *(f"{path}={json.dumps(value)}" for path, value in short.items() if value is not None),
        *(settings or ()),
    ]
    if data is not None:
        overrides.append(f"data.source={json.dumps(str(data.absolute()))}")
    return read_job(recipe, overrides)


def _closing(fitted: Fitted) -> str:
    score = fitted.score
    where = f"epoch {fitted.epoch + 1} of {fitted.epochs}" if fitted.epochs else "the head fitted"
    lines = [
        "",
        f"The best model ({where}) gets {score.accuracy:.4f} of {score.samples} held-out samples "
        f"right, with a loss of {score.loss:.4f}, after {fitted.seconds:.1f} s.",
        f"It is saved in {fitted.folder / 'best'}.",
    ]
    if fitted.fitted_on == "val":
        lines.append(
            "Its head was fitted to these very samples, so that the figures say too much; "
            "`fusionkit evaluate --split` measures it on others."
        )
    lines += _left_out("to learn from", fitted.left_out)
    lines += _left_out("held out", score.broken)
    return "\n".join(lines)


def _left_out(kind: str, broken: tuple[tuple[str, str], ...]) -> list[str]:
    """Names samples that could not be read, and the cause of the first."""
    if not broken:
        return []
    names = some_of([name for name, _ in broken], MOST_NAMES)
    return [f"Left out of the samples {kind}, {len(broken)}: {names} ({broken[0][1]})"]
