"""The page that says what the commands gave."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median, stdev

from results_page.runs import Outcome
from results_page.studies import Row, Study

__all__ = ["format_page", "format_study"]

NOT_RUN = (
    "<!-- not run: it trains on photographs for a minute; benchmarks/write_results.py runs it -->"
)

Found = Mapping[str, Mapping[Row, Sequence[Outcome]]]
"""By group and row the outcomes, one for each seed."""


def format_page(sections: Sequence[str], command: str, seeds: range) -> str:
    """Gives the whole page.

    Args:
        sections: as ``format_study`` gives them.
        command: that wrote it.
        seeds: of the runs.
    """
    import torch
    import torchvision

    import fusionkit as fk

    versions = (
        f"fusionkit {fk.__version__}, torch {torch.__version__}, torchvision "
        f"{torchvision.__version__}, Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} CPU cores, {torch.get_num_threads()} thread(s)"
    )
    head = f"""\
<!-- written by {command} -->
# What the commands gave on photographs

This page is generated: `{command}` runs every command, each in
a process of its own, and writes what came out. Photographs and weights are those of
`../shared/data`; the recipes in `examples/` name the hub's weights, and `--set` names these in
their place. Shown is the command of each table's first row and seed; a branch alone is the recipe
without the other branch.

- accuracy: of the best model on the samples held out, mean and standard deviation over the seeds
  {", ".join(map(str, seeds))}, each in brackets. Where there are epochs, the best is chosen on the
  same samples.
- over the best alone: the mean over the seeds of the difference from the branch with the highest
  mean alone, under the same settings.
- training: seconds that passed in training and validation, the median; CPU: seconds of the whole
  command on all cores, with Python's imports and saving, the median. Other programs ran beside.
- Where features are cached, each table's first run computes those that no run before it has left,
  and the runs after it find them.

{versions}
"""
    return "\n".join([head, *sections])


def format_study(study: Study, found: Found, show: Mapping[Path, str]) -> str:
    """Gives a section: a table for each group, and the command of its first row.

    Args:
        study: what was run.
        found: what it gave.
        show: by what folders are shown in commands.
    """
    parts = [f"## {study.title}\n\n{study.about}\n"]
    for group, rows in found.items():
        alone = [outcomes for row, outcomes in rows.items() if row.alone]
        best = max(alone, key=lambda outcomes: mean(each.accuracy for each in outcomes))
        lines = [
            f"### {group}\n",
            "| | accuracy | over the best alone | loss | training | CPU |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_line(row, outcomes, best) for row, outcomes in rows.items()]
        first = next(iter(rows.values()))[0]
        lines += ["", NOT_RUN, "```sh", _shown(first.command, show), "```", ""]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def _line(row: Row, outcomes: Sequence[Outcome], best: Sequence[Outcome]) -> str:
    values = [each.accuracy for each in outcomes]
    spread = stdev(values) if len(values) > 1 else 0.0
    each = ", ".join(f"{value:.3f}" for value in values)
    difference = mean(
        mine.accuracy - theirs.accuracy for mine, theirs in zip(outcomes, best, strict=True)
    )
    over = "best alone" if outcomes is best else f"{difference:+.3f}"
    return (
        f"| {row.title} | {mean(values):.3f} ± {spread:.3f} ({each}) | {over} | "
        f"{mean(one.loss for one in outcomes):.3f} | "
        f"{median(one.seconds for one in outcomes):.1f} s | "
        f"{median(one.cpu for one in outcomes):.1f} s |"
    )


def _shown(command: Sequence[str], show: Mapping[Path, str]) -> str:
    """Gives a command as a user would type it, an option a line."""
    words = []
    for word in command:
        text = word
        for folder, name in show.items():
            text = text.replace(str(folder), name)
        words.append(shlex.quote(text))
    return " ".join(words).replace(" --set ", " \\\n    --set ")
