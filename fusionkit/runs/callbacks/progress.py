"""Shows how far a run is, while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Progress", "format_row"]

LARGE = 1000


class Progress(pl.Callback):
    """A bar for the epoch, on a terminal only.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description:<14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bars = Bars(
            *columns, console=console, transient=True, disable=not console.is_terminal
        )
        self._line = self._bars.add_task("", total=None)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Shows the bar."""
        if trainer.is_global_zero:
            self._bars.start()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins the epoch's bar."""
        self._begin(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", trainer)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Moves the bar."""
        self._bars.update(self._line, completed=batch_idx + 1)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Says that the validation runs."""
        self._bars.update(self._line, description="validation")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the bar away."""
        self._bars.stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Takes the bar away."""
        self._bars.stop()

    def _begin(self, title: str, trainer: pl.Trainer) -> None:
        self._bars.reset(self._line, total=int(trainer.num_training_batches), description=title)


def format_row(row: dict[str, Any], epochs: int) -> str:
    """Gives one epoch's figures in a line of some 80 columns."""
    parts = [f"epoch {row['epoch'] + 1:>{len(str(epochs))}}/{epochs}"]
    for name, title, form in (
        ("train_loss", "loss", ".4f"),
        ("val_loss", "val loss", ".4f"),
        ("val_accuracy", "accuracy", ".4f"),
        ("lr", "lr", ".1e"),
    ):
        if name in row:
            large = abs(row[name]) >= LARGE
            parts.append(f"{title} {row[name]:{'.3g' if large else form}}")
    parts.append(f"{_short(row['trainable'])} learn")
    return "  ".join([*parts, f"{row['seconds']:.1f} s"])


def _short(count: int) -> str:
    """Gives a count in at most five letters: 322, 125k, 1.7M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            amount = count / unit
            return f"{amount:.0f}{name}" if amount >= 10 else f"{amount:.1f}{name}"
    return str(count)
