"""What the model keeps of one branch besides its tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fusionkit.errors import PolicyError, did_you_mean
from fusionkit.features import Reads
from fusionkit.numbers import are_ascending
from fusionkit.policy.slots import Anatomy, Slot
from fusionkit.recipe.values import Branch

__all__ = ["Part", "with_thaws"]


@dataclass(frozen=True, slots=True)
class Part:
    """One branch as a value: its recipe, its anatomy, and what the head reads of it.

    The policies count only the stages in which something can learn: a classifier that nobody
    reads is nobody's last stage.

    Attributes:
        branch: as the user wrote it.
        anatomy: where each parameter sits.
        reads: what the head reads, its levels resolved.
        learnable: the parameters that may ever learn: those that the author did not fix and
            that what is read depends on.
        thaws: the epochs at which stages have thawed on a plateau, ascending.
        reach: the stages in which something can learn, counted by themselves.
    """

    branch: Branch
    anatomy: Anatomy
    reads: Reads
    learnable: frozenset[str]
    thaws: tuple[int, ...] = ()
    reach: Anatomy = field(init=False)
    _reached: dict[str, Slot] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        reach = _within(self.anatomy, self.learnable)
        object.__setattr__(self, "reach", reach)
        object.__setattr__(self, "_reached", {slot.name: slot for slot in reach.slots})

    def learning(self, epoch: int) -> frozenset[str]:
        """Gives the names of the parameters that learn at ``epoch``."""
        if not self.reach.stages:
            return frozenset()
        return self.branch.freeze.learning(self.reach, epoch, self.thaws) & self.learnable

    def ever_learning(self) -> frozenset[str]:
        """Gives the names of the parameters that learn at some epoch, as far as policies go."""
        freeze, stages = self.branch.freeze, len(self.reach.stages)
        if freeze.rule == "on_plateau":
            return self.learnable
        last = freeze.thaw_epoch(0, stages) if stages else 0
        assert last is not None
        return self.learning(last)

    def rate(self, slot: Slot) -> float:
        """Gives the multiple of the base rate for one parameter."""
        lr = self.branch.lr
        reached = self._reached.get(slot.name)
        if reached is None:
            return lr.scale
        if lr.by == "block":
            return lr.rate(reached.block, self.reach.block_count)
        return lr.rate(reached.stage, len(self.reach.stages))

    def thaw_epoch(self, stage: int) -> int | None:
        """Gives the epoch at which a stage of ``anatomy`` begins to learn.

        ``None`` where it awaits a plateau that has not come.
        """
        name = self.anatomy.stages[stage]
        if name not in self.reach.stages:
            return 0
        index = self.reach.stages.index(name)
        return self.branch.freeze.thaw_epoch(index, len(self.reach.stages), self.thaws)

    def warmth(self, stage: int, epoch: float) -> float:
        """Gives the warm-up's factor for a stage at a point in time, counted in epochs.

        A stage that is still frozen has the factor that it will begin with.
        """
        thawed = self.thaw_epoch(stage)
        return self.branch.lr.warmth(0.0 if thawed is None else max(0.0, epoch - thawed))


def with_thaws(parts: Mapping[str, Part], thaws: Mapping[str, Sequence[int]]) -> dict[str, Part]:
    """Gives the same parts, some with other epochs of thaws on a plateau.

    Raises:
        PolicyError: a branch does not exist or does not thaw on a plateau, or the epochs are no
            ascending whole numbers.
    """
    changed = dict(parts)
    for name, epochs in thaws.items():
        if name not in parts:
            raise PolicyError(f"thaws: there is no branch {name!r:.80}.{did_you_mean(name, parts)}")
        freeze = parts[name].branch.freeze
        if freeze.rule != "on_plateau":
            raise PolicyError(
                f"thaws: branch {name!r} has {freeze!r}, which no plateau thaws; write "
                "Branch(freeze=Freeze.on_plateau(...))"
            )
        if not are_ascending(epochs):
            raise PolicyError(
                f"thaws: branch {name!r} takes epochs in ascending order, each once, got "
                f"{list(epochs)!r:.80}"
            )
        changed[name] = replace(parts[name], thaws=tuple(epochs))
    return changed


def _within(anatomy: Anatomy, learnable: frozenset[str]) -> Anatomy:
    """Gives the stages that hold some of ``learnable``, their blocks counted anew."""
    alive = sorted({slot.stage for slot in anatomy.slots if slot.name in learnable})
    inside = [slot for slot in anatomy.slots if slot.stage in alive]
    blocks = sorted({slot.block for slot in inside})
    stage_index = {stage: index for index, stage in enumerate(alive)}
    block_index = {block: index for index, block in enumerate(blocks)}
    return Anatomy(
        tuple(anatomy.stages[stage] for stage in alive),
        tuple(
            replace(slot, stage=stage_index[slot.stage], block=block_index[slot.block])
            for slot in inside
        ),
    )
