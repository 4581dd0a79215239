"""Where a run stands, and what it was resumed from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusionkit.errors import ConfigError

__all__ = ["Position", "Resumed"]


@dataclass(frozen=True, slots=True)
class Position:
    """What comes next in a run: everything before it is done.

    Attributes:
        epoch: counted from 0.
        batch: of this epoch, counted from 0. The number of batches where all are done, but not
            what follows them, such as validation and ``Unfreezing.end_epoch``.
        step: of the optimizer, counted over the whole run; what states are numbered by.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0

    def __post_init__(self) -> None:
        for name in ("epoch", "batch", "step"):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise ConfigError(
                    f"Position: {name} is a whole number, zero or more, got {value!r:.80}"
                )

    def first_batch(self, epoch: int) -> int:
        """Gives the batch that an epoch begins with: 0, but in the epoch that was cut off."""
        return self.batch if epoch == self.epoch else 0


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a run goes on from; ``print`` it.

    Attributes:
        position: what comes next.
        extra: what was given to be saved besides.
        finished: whether the run had come to its end.
        inexact: what was not as it had been, here and in earlier resumes; such a run is not the
            uninterrupted one to the bit.
        path: of the state; ``None`` where nothing was there, and the run begins.
    """

    position: Position = Position()
    extra: Any = None
    finished: bool = False
    inexact: tuple[str, ...] = field(default=())
    path: Path | None = None

    def __str__(self) -> str:
        if self.path is None:
            return "a new run"
        at = self.position
        place = f"epoch {at.epoch}, batch {at.batch}, step {at.step}"
        if self.finished:
            return f"{self.path.parent} is finished already: {place}; there is nothing to do"
        said = f"{self.path.parent} goes on at {place}"
        return said + "".join(f"; not as before: {each}" for each in self.inexact)
