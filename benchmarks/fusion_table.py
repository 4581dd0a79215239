"""Which head is worth it on real data: each branch alone against every way to join two of them.

Run ``python benchmarks/fusion_table.py``. Branches are frozen; their vectors, and their maps of
stride 16 and more, are computed once and kept in the temporary folder. Each branch alone is a
regularised linear classifier on its vector, with the penalty found by cross-validation (the head
``adaptive`` on one branch). Heads that fit are fitted, others are trained by gradient, all with the
same number of steps, those that read maps on batches of 16, each at the one of three learning rates
that does best on two fifths of its training samples, held out to find it. All see the same draws of
training samples, few or many, and are tested on the samples that were not drawn.

A cell is the mean accuracy over the draws, its standard deviation, and the mean difference from
the branch that is best over all draws: ``+`` and ``-`` stand where a paired t-test tells it from
zero at the level of .05, ``=`` where it does not. Data are looked for in ``$FUSIONKIT_SHARED/data``
(by default ``../shared/data``); what is not there is skipped.

``--all --keep FILE`` takes hours, and may be stopped: each accuracy is written to the file as it
comes, and what stands there is not asked again. Begin a new file where a head has changed.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import torch
from fusion.contenders import DEFAULT, Contender, UnsuitedError, take
from fusion.data import Pair, find_pairs
from fusion.extraction import UnavailableError
from fusion.kept import Kept
from rich.console import Console
from rich.table import Table

import fusionkit as fk


def compare(
    pair: Pair,
    shots: int | None,
    heads: list[str],
    seeds: range,
    *,
    place: tuple[str, str],
    skipped: dict[str, str],
    kept: Kept,
) -> dict[str, list[float]]:
    """Gives one accuracy for each draw, by contender.

    Args:
        pair: the two branches.
        shots: samples of each class to learn from; ``None`` for the full draw.
        heads: by name.
        seeds: one for each draw.
        place: of these accuracies: the data set's title and the column's.
        skipped: takes the heads that have no line, and why.
        kept: what is known already.
    """
    found: dict[str, list[float]] = {}
    for seed in seeds:
        contenders = [(f"{branch} alone", "adaptive", [branch]) for branch in pair.inputs]
        contenders += [(name, name, list(pair.inputs)) for name in heads]
        for title, name, branches in contenders:
            if title in skipped:
                continue
            ask = partial(measure, pair, shots, name, branches, seed)
            try:
                found.setdefault(title, []).append(kept.ask((*place, title, seed), ask))
            except UnsuitedError as error:
                skipped[title] = str(error)
    return {title: accuracies for title, accuracies in found.items() if title not in skipped}


def measure(pair: Pair, shots: int | None, name: str, branches: list[str], seed: int) -> float:
    """Gives the accuracy of a head on some branches, in one draw."""
    rows, rest = pair.draw(shots, seed)
    given = {branch: pair.features[branch] for branch in branches}
    inputs = {branch: pair.inputs[branch] for branch in branches}
    contender = Contender(name, inputs, int(pair.labels.max()) + 1, seed)
    contender.learn(take(given, rows), pair.labels[rows])
    return contender.judge(take(given, rest), pair.labels[rest])


def find_best(results: dict[str, list[float]]) -> str:
    """Gives the title of the branch that is best alone."""
    alone = [title for title in results if title.endswith(" alone")]
    return max(alone, key=lambda title: statistics.mean(results[title]))


def tell(values: list[float], best: list[float]) -> tuple[float, str]:
    """Gives the mean difference, and whether it is beyond the spread of the draws."""
    differences = [mine - theirs for mine, theirs in zip(values, best, strict=True)]
    mean = statistics.mean(differences)
    if len(differences) < 2:
        return mean, "?"
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    if abs(mean) <= quantile(len(differences) - 1) * error:
        return mean, "="
    return mean, "+" if mean > 0 else "-"


def quantile(freedom: int) -> float:
    """Gives the .975 quantile of Student's t (Abramowitz and Stegun 26.7.5)."""
    if freedom < 3:
        return {1: 12.706, 2: 4.303}[freedom]
    z = statistics.NormalDist().inv_cdf(0.975)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def make_table(pair: str, columns: dict[str, dict[str, list[float]]]) -> Table:
    """Gives one line for each contender and one column for each number of samples."""
    grid = Table(title=pair, title_justify="left")
    grid.add_column("", no_wrap=True)
    for name in columns:
        grid.add_column(name, justify="right")
    for title in next(iter(columns.values())):
        cells = []
        for results in columns.values():
            best = find_best(results)
            values = results[title]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cell = f"{statistics.mean(values):.3f} ± {spread:.3f}"
            if title == best:
                cell += "\nbest  "
            else:
                difference, verdict = tell(values, results[best])
                cell += f"\n{difference:+.3f} {verdict}"
            cells.append(cell)
        grid.add_row(title, *cells, style="bold" if title == "adaptive" else None)
    return grid


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first draw's seed")
    parser.add_argument("--all", action="store_true", help="all heads; five draws take hours")
    parser.add_argument("--heads", nargs="+", help="these heads")
    parser.add_argument("--only", default="", help="data sets with this in their title")
    parser.add_argument(
        "--keep", type=Path, metavar="FILE", help="go on from this file, and write accuracies to it"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # gradients of a head that knows its few samples by heart
    warnings.filterwarnings("ignore", category=UserWarning)
    heads = arguments.heads or list(DEFAULT)
    if arguments.all:
        heads = list(fk.Catalog.installed().heads())
    seeds = range(arguments.first, arguments.first + arguments.draws)
    console = Console()
    kept = Kept(arguments.keep)
    for title, load in find_pairs().items():
        if arguments.only not in title:
            continue
        try:
            pair = load()
        except UnavailableError as error:
            console.print(f"{title} is skipped: {error}", markup=False)
            continue
        start = time.perf_counter()
        skipped: dict[str, str] = {}
        columns = {}
        for shots in (*pair.shots, None):
            name = "full" if shots is None else f"{shots} per class"
            columns[name] = compare(
                pair, shots, heads, seeds, place=(title, name), skipped=skipped, kept=kept
            )
        console.print(make_table(title, columns))
        for name, cause in skipped.items():
            console.print(f"no line for {name}: {cause}", markup=False)
        console.print(f"{arguments.draws} draws, {time.perf_counter() - start:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
