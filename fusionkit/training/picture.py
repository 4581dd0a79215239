"""Draws a plan: stages down, epochs along, the learning rate as colour."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.errors import ConfigError

if TYPE_CHECKING:
    from fusionkit.training.planning import Plan

__all__ = ["draw_plan"]

FROZEN = "#e6e6e6"
ROW_HEIGHT = 0.26
"""In inches."""


def draw_plan(plan: Plan, path: str | Path) -> Path:
    """Writes the plan as a picture, in the format that the file's name says; gives the path.

    Frozen stages are grey, those that wait for a plateau hatched from the first epoch on at
    which they could thaw; the colour is the learning rate, on a logarithmic scale.

    Raises:
        ConfigError: matplotlib is not installed, or cannot write such a file.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LogNorm
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise ConfigError(
            'draw_plan needs matplotlib: pip install "torch-fusionkit[train]"'
        ) from error

    rates = [rate for row in plan.rows for rate in row.rates if rate > 0]
    low, high = min(rates), max(rates)
    scale = LogNorm(low if low < high else low / 10, high)
    colours = colormaps["viridis"]
    height = 1.5 + ROW_HEIGHT * (len(plan.rows) + len({row.branch for row in plan.rows}))
    figure = Figure(figsize=(max(6.0, min(14.0, 3.5 + 0.35 * plan.epochs)), height), dpi=120)
    axes = figure.add_subplot()

    position, ticks, labels = 0.0, [], []
    before = plan.rows[0].branch
    for row in plan.rows:
        if row.branch != before:
            position += 0.6
            before = row.branch
        for epoch, rate in enumerate(row.rates):
            waits = not rate and row.waits is not None and epoch >= row.waits
            axes.add_patch(
                Rectangle(
                    (epoch - 0.5, position - 0.5),
                    1.0,
                    1.0,
                    facecolor=colours(scale(rate)) if rate else FROZEN,
                    edgecolor="white",
                    linewidth=0.6,
                    hatch="////" if waits else None,
                )
            )
        ticks.append(position)
        labels.append(f"{row.branch}  {row.stage}" if row.stage else row.branch)
        position += 1.0
    axes.set_xlim(-0.5, plan.epochs - 0.5)
    axes.set_ylim(position - 0.5, -0.5)
    axes.set_yticks(ticks, labels, fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.tick_params(left=False, bottom=False)
    for side in axes.spines.values():
        side.set_visible(False)
    bar = figure.colorbar(ScalarMappable(scale, colours), ax=axes, pad=0.02, fraction=0.05)
    bar.set_label("learning rate at the first step of the epoch", fontsize=8)
    metrics = sorted({row.metric for row in plan.rows if row.metric})
    title = "grey: frozen"
    if metrics:
        title += f"; hatched: thaws when {' or '.join(metrics)} stalls"
    axes.set_title(title, fontsize=8, loc="left", color="#555555")
    figure.tight_layout()
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot draw the plan into {path}: {error}") from error
    return Path(path)
