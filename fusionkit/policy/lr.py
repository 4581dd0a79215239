"""``LR``: how fast each part of a branch learns, relative to the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fusionkit.errors import PolicyError
from fusionkit.numbers import is_count, is_number

__all__ = ["LR"]

REFERENCE_DEPTH = 12
"""The depth, in steps from last to first, at which ``layer_decay`` is the ratio per step."""

MAX_NUMBER = 1_000_000
MIN_RATE = 1e-12


@dataclass(frozen=True, slots=True)
class LR:
    """The learning rate of one branch as multiples of the base rate, which the head has.

    ``layer_decay`` is normalised: it is the ratio between neighbouring blocks of a 12-block
    transformer (BEiT, arXiv:2106.08254), and a trunk of any other depth spreads the same total,
    ``layer_decay ** 12`` from its last stage to its stem. So 0.75 means the same for a
    12-block transformer and for a 4-stage convnet, where it gives 0.42 a stage.

    Attributes:
        scale: the rate of the last stage, as a multiple of the base rate.
        layer_decay: in (0, 1]; 1 gives every stage the same rate.
        weight_decay: overrides the optimizer's weight decay in this branch.
        warmup: over how many epochs a part's rate rises linearly after it begins to learn; done
            by the scheduler that ``model.lr_scheduler`` gives.
        by: whether each stage or each block has a rate of its own.
    """

    scale: float = 1.0
    layer_decay: float = 1.0
    weight_decay: float | None = None
    warmup: int = 0
    by: Literal["stage", "block"] = "stage"

    def __post_init__(self) -> None:
        if not is_number(self.scale) or not 0 < self.scale <= MAX_NUMBER:
            raise PolicyError(
                f"LR.scale must be positive and at most {MAX_NUMBER:,}, got {self.scale!r:.80}; "
                "to keep a branch from learning, freeze it with Freeze.all()"
            )
        if not is_number(self.layer_decay) or not 0 < self.layer_decay <= 1:
            raise PolicyError(f"LR.layer_decay must be in (0, 1], got {self.layer_decay!r:.80}")
        if self.scale * self.layer_decay**REFERENCE_DEPTH < MIN_RATE:
            raise PolicyError(
                f"LR(scale={self.scale!r}, layer_decay={self.layer_decay!r}) leaves the stem no "
                "rate to learn with; freeze early stages with Freeze.last() or Freeze.until()"
            )
        decay = self.weight_decay
        if decay is not None and not (is_number(decay) and 0 <= decay <= MAX_NUMBER):
            raise PolicyError(
                f"LR.weight_decay must be from 0 to {MAX_NUMBER:,}, or None for the optimizer's; "
                f"got {decay!r:.80}"
            )
        if not is_count(self.warmup, least=0):
            raise PolicyError(
                f"LR.warmup must be a whole number of epochs, got {self.warmup!r:.80}"
            )
        if self.by not in ("stage", "block"):
            raise PolicyError(f"LR.by is 'stage' or 'block', got {self.by!r}")

    def rate(self, index: int, count: int) -> float:
        """Gives the multiple of the base rate for stage or block ``index`` of ``count``."""
        if count <= 1:
            return float(self.scale)
        depth = (count - 1 - index) / (count - 1)
        return float(self.scale * self.layer_decay ** (REFERENCE_DEPTH * depth))

    def warmth(self, age: float) -> float:
        """Gives the warm-up's factor in (0, 1] for a part that has learned for ``age`` epochs."""
        if age < 0 or self.warmup == 0:
            return 1.0
        return min(1.0, (age + 1) / (self.warmup + 1))
