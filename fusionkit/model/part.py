"""What the model keeps of one branch besides its tensors."""

from __future__ import annotations

from dataclasses import dataclass

from fusionkit.features import Reads
from fusionkit.policy.slots import Anatomy, Slot
from fusionkit.recipe.values import Branch

__all__ = ["Part"]


@dataclass(frozen=True, slots=True)
class Part:
    """One branch as a value: its recipe, its anatomy, and what the head reads of it.

    Attributes:
        branch: as the user wrote it.
        anatomy: where each parameter sits.
        reads: what the head reads, its levels resolved.
        learnable: the parameters that may ever learn: those that the author did not fix and
            that what is read depends on.
    """

    branch: Branch
    anatomy: Anatomy
    reads: Reads
    learnable: frozenset[str]

    def learning(self, epoch: int) -> frozenset[str]:
        """Gives the names of the parameters that learn at ``epoch``."""
        return self.branch.freeze.learning(self.anatomy, epoch) & self.learnable

    def rate(self, slot: Slot) -> float:
        """Gives the multiple of the base rate for one parameter."""
        lr = self.branch.lr
        if lr.by == "block":
            return lr.rate(slot.block, self.anatomy.block_count)
        return lr.rate(slot.stage, len(self.anatomy.stages))

    def warmth(self, stage: int, epoch: float) -> float:
        """Gives the warm-up's factor for a stage at a point in time, counted in epochs.

        A stage that is still frozen has the factor that it will begin with.
        """
        thawed = self.branch.freeze.thaw_epoch(stage, len(self.anatomy.stages))
        return self.branch.lr.warmth(max(0.0, epoch - thawed))
