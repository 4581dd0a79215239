"""Writes what was measured in each epoch: a CSV file, and a line for whoever watches."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from fusionkit.runs.texts import write_whole

__all__ = ["Figures", "read_figures"]

COLUMNS = (
    *("epoch", "step", "train_loss", "train_accuracy", "val_loss", "val_accuracy"),
    *("lr", "trainable", "seconds", "peak_memory_mb"),
)


class Figures(pl.Callback):
    """Keeps ``metrics.csv``, a line for each epoch; a run that goes on replaces what it repeats.

    Args:
        path: of the file.
        told: called with each epoch's figures.
    """

    def __init__(self, path: Path, told: Callable[[dict[str, Any]], None]) -> None:
        self._path, self._told = path, told
        self._rows: list[dict[str, Any]] = []
        self._start = 0.0
        self._rate = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes over the lines of the epochs that are done."""
        rows = read_figures(self._path) if self._path.exists() else []
        self._rows = [row for row in rows if int(row["epoch"]) < trainer.current_epoch]
        self._start = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._start = time.perf_counter()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Notes the rate of the step, which the schedule moves on after it."""
        self._rate = max(group["lr"] for group in trainer.optimizers[0].param_groups)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the epoch's line."""
        measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            **{name: measured[name] for name in COLUMNS if name in measured},
            "lr": self._rate,
            "trainable": sum(p.numel() for p in pl_module.parameters() if p.requires_grad),
            "seconds": round(time.perf_counter() - self._start, 3),
            "peak_memory_mb": _peak_memory(),
        }
        self._rows.append(row)
        if trainer.is_global_zero:
            write_figures(self._path, self._rows)
            self._told(row)


def write_figures(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes all lines anew, beside the file, which is then replaced."""

    def fill(file: Any) -> None:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)

    write_whole(path, fill)


def read_figures(path: Path) -> list[dict[str, Any]]:
    """Gives the lines of ``metrics.csv``, as text by column."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _peak_memory() -> float | str:
    if not torch.cuda.is_available():
        return ""
    return round(torch.cuda.max_memory_allocated() / 1e6, 1)
