"""``Plateau``: for how long a metric has made no progress."""

from __future__ import annotations

from dataclasses import dataclass

from fusionkit.policy.freeze import Freeze

__all__ = ["Plateau"]


@dataclass(frozen=True, slots=True)
class Plateau:
    """What the watch over one branch's metric has seen so far.

    Attributes:
        best: the best value; ``None`` before the first.
        stalled: for how many epochs in a row there was none better.
    """

    best: float | None = None
    stalled: int = 0

    def observe(self, freeze: Freeze, epoch: int, value: float) -> Plateau:
        """Gives the watch after one more epoch; a pure function.

        Args:
            freeze: a ``Freeze.on_plateau``, which says what counts as progress.
            epoch: which has ended, counted from 0.
            value: of the metric, finite.
        """
        gain = 0.0 if self.best is None else value - self.best
        if self.best is None or (gain if freeze.mode == "max" else -gain) > freeze.min_delta:
            return Plateau(value, 0)
        return Plateau(self.best, self.stalled + 1 if epoch >= freeze.start else 0)
