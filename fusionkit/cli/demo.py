"""``fusionkit demo``: the main job from end to end, without network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Annotated

import typer

from fusionkit.cli.terminal import open_console

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from fusionkit.demo.compare import Outcome
    from fusionkit.demo.digits import Task

__all__ = ["demo"]

QUICK_EPOCHS = 6


def demo(
    *,
    out: Annotated[Path, typer.Option(help="The folder in which the winner is saved.")] = Path(
        "fusionkit-demo"
    ),
    labels_per_class: Annotated[
        int, typer.Option(help="Labelled images of each new class to learn from.")
    ] = 20,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over them.")] = 20,
    draws: Annotated[
        int, typer.Option(min=1, help="Repetitions, each with other labelled images.")
    ] = 3,
    seed: Annotated[int, typer.Option(min=0, help="The seed of the first repetition.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="One repetition and six epochs, to see that it works.")
    ] = False,
) -> None:
    """Fuse two small pretrained backbones for new handwritten digits, and save the winner.

    Both come with fusionkit and know the digits 0 to 4. They learn to tell 5 to 9 apart from few
    labelled images: each alone, averaged, and concatenated, one frozen and one gradually thawed.
    Takes about a minute and needs no network.
    """
    from fusionkit.checkpoint.target import check_target
    from fusionkit.demo.backbones import contenders
    from fusionkit.demo.compare import compare, winner
    from fusionkit.demo.digits import Digits, draw_task

    if quick:
        epochs, draws = QUICK_EPOCHS, 1
    check_target(out)
    digits = Digits.read()
    task = draw_task(digits, labels_per_class, seed)
    console = open_console()
    console.print(_opening(task))
    compared = contenders(epochs)
    with _progress(console, len(compared) * draws * epochs) as (on_start, after_epoch):
        outcomes = compare(
            compared,
            digits,
            labels_per_class=labels_per_class,
            epochs=epochs,
            seeds=range(seed, seed + draws),
            on_start=on_start,
            after_epoch=after_epoch,
        )
    best = winner(outcomes)
    _print_table(console, outcomes, best, draws)
    _save(console, best, out, task)


def _opening(task: Task) -> str:
    return (
        f"Two backbones that know the digits 0 to 4 learn 5 to 9 from {len(task.train)} images.\n"
        f"{len(task.validation)} more choose the winner; {len(task.test)} by other writers are "
        "held out for the accuracy."
    )


@contextmanager
def _progress(
    console: Console, total: int
) -> Iterator[tuple[Callable[[str], None], Callable[[], None]]]:
    """Gives what to call at each model's start and after each epoch."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<28}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        line = bar.add_task("", total=total)

        def on_start(title: str) -> None:
            bar.update(line, description=title)

        def after_epoch() -> None:
            bar.advance(line)

        yield on_start, after_epoch


def _print_table(console: Console, outcomes: Sequence[Outcome], best: Outcome, draws: int) -> None:
    from fusionkit.demo.report import Line, table

    lines = [
        Line(
            outcome.title,
            [score.accuracy for score in outcome.test],
            outcome.trainable,
            outcome.seconds,
            mean(score.accuracy for score in outcome.validation),
        )
        for outcome in outcomes
    ]
    title = f"mean of {draws} draws of the labelled images" if draws > 1 else None
    console.print()
    console.print(table(lines, title=title, won=best.title))


def _save(console: Console, best: Outcome, out: Path, task: Task) -> None:
    """Saves the winner and makes sure that what was saved gives the same answers."""
    import torch

    import fusionkit as fk

    fk.save(best.model, out)
    loaded = fk.load(out)
    with torch.no_grad():
        same = torch.equal(best.model(task.test.images), loaded(task.test.images))
    if not same:
        raise fk.CheckpointError(
            f"the model loaded from {out} answers otherwise than the saved one"
        )
    console.print(
        f"\nThe winner is the {best.title}. It is saved in {out}\n"
        "and, loaded again, gives the same answers bit for bit:\n"
        "\n"
        "    import fusionkit, torch, sklearn.datasets as data\n"
        f"    model = fusionkit.load({str(out)!r})\n"
        "    model(torch.tensor(data.load_digits().images[:, None] / 16).float())"
    )
