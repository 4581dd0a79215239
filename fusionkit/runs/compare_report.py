"""The table of a comparison, its picture, and its files."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from fusionkit.errors import ConfigError
from fusionkit.runs.compare import Compared
from fusionkit.runs.spread import spread
from fusionkit.runs.texts import write_whole

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["differences", "draw", "tabulate", "write_files"]


SEEN = "* its head was fitted to these very samples, so that its figures say too much"


def differences(outcomes: Sequence[Compared]) -> dict[str, tuple[float, ...]]:
    """Gives by title how far each is above the best branch alone, seed by seed.

    The best branch is the one with the highest mean over the seeds. Empty where none was trained
    alone.
    """
    alone = [each for each in outcomes if each.alone]
    if not alone:
        return {}
    best = max(alone, key=lambda each: mean(each.accuracies)).accuracies
    return {
        each.title: tuple(a - b for a, b in zip(each.accuracies, best, strict=True))
        for each in outcomes
    }


def tabulate(outcomes: Sequence[Compared]) -> Table:
    """Gives a table, in the order of the comparison; the best mean stands out.

    A star marks a head that was fitted to the samples that it is measured on.
    """
    from rich.table import Table

    above = differences(outcomes)
    count = len(outcomes[0].seeds)
    split, samples = outcomes[0].split, outcomes[0].scores[0].samples
    title = f"{samples} samples ({split}), {count} seed{'s' if count > 1 else ''}"
    caption = SEEN if any(each.seen for each in outcomes) else None
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    table.add_column("")
    for name in ("accuracy", *(["over the best branch"] if above else []), "loss"):
        table.add_column(name, justify="right")
    table.add_column("learn", justify="right")
    table.add_column("seconds", justify="right")
    best = max(outcomes, key=lambda each: mean(each.accuracies)).title
    for each in outcomes:
        cells = [_marked(each), spread(each.accuracies)]
        if above:
            cells.append(spread(above[each.title], signed=True))
        cells += [
            f"{mean(score.loss for score in each.scores):.3f}",
            f"{each.trainable:,}",
            f"{mean(each.seconds):.1f}",
        ]
        table.add_row(*cells, style="bold green" if each.title == best else None)
    return table


def write_files(outcomes: Sequence[Compared], folder: Path) -> None:
    """Writes ``compare.json`` with everything, and ``compare.csv`` with a line for each run."""
    rows = [
        {**asdict(each), "scores": [score.to_data() for score in each.scores]} for each in outcomes
    ]
    data = json.dumps(rows, indent=2, allow_nan=False) + "\n"
    write_whole(folder / "compare.json", lambda file: file.write(data))

    def fill(file: Any) -> None:
        table = csv.writer(file, lineterminator="\n")
        names = ("title", "seed", "split", "accuracy", "loss", "trainable", "seconds", "seen")
        table.writerow(names)
        for each in outcomes:
            for seed, score, seconds in zip(each.seeds, each.scores, each.seconds, strict=True):
                seen = "yes" if each.seen else "no"
                figures = (score.accuracy, score.loss, each.trainable, seconds, seen)
                table.writerow((each.title, seed, each.split, *figures))

    write_whole(folder / "compare.csv", fill)


def draw(outcomes: Sequence[Compared], path: Path) -> None:
    """Draws the accuracies: a dot for each seed, the mean, and its standard deviation.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            'the picture needs matplotlib: pip install "torch-fusionkit[train]"'
        ) from error
    from statistics import stdev

    figure = Figure(figsize=(8, 1.2 + 0.38 * len(outcomes)), dpi=120)
    axes = figure.add_subplot()
    places = range(len(outcomes))
    for place, each in zip(places, outcomes, strict=True):
        values = each.accuracies
        colour = "#4c78a8" if each.alone else "#333333"
        width = stdev(values) if len(values) > 1 else 0.0
        axes.errorbar(mean(values), place, xerr=width, fmt="o", color=colour, capsize=3)
        axes.plot(values, [place] * len(values), "|", color=colour, alpha=0.6, markersize=9)
    if above := differences(outcomes):
        best = next(each for each in outcomes if not any(above[each.title]))
        axes.axvline(mean(best.accuracies), color="#4c78a8", linewidth=0.8, linestyle=":")
    axes.set_yticks(places, [_marked(each) for each in outcomes], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(right=min(1.005, axes.get_xlim()[1]))
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(f"accuracy ({outcomes[0].split})")
    notes = ["dotted: the best branch alone"] if above else []
    notes += [SEEN] if any(each.seen for each in outcomes) else []
    axes.set_title("\n".join(notes), fontsize=8, loc="left", color="#555555")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(left=False)
    figure.tight_layout()
    figure.savefig(path)


def _marked(outcome: Compared) -> str:
    return f"{outcome.title} *" if outcome.seen else outcome.title
