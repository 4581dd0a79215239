"""What the policies know of one branch: a row for each parameter, no tensors."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Anatomy", "Slot"]


@dataclass(frozen=True, slots=True)
class Slot:
    """One parameter and where it sits.

    Attributes:
        name: its path in the trunk.
        stage: the index of its stage, stem first.
        block: the index of its block, counted through all stages, stem first.
        norm: whether it belongs to a normalisation layer.
        bias: whether it is a bias.
        decays: whether weight decay applies to it.
    """

    name: str
    stage: int
    block: int
    norm: bool = False
    bias: bool = False
    decays: bool = True


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The stages of one branch by name, stem first, and all its parameters in their place."""

    stages: tuple[str, ...]
    slots: tuple[Slot, ...]

    @property
    def block_count(self) -> int:
        """How many blocks there are in all stages together."""
        return 1 + max((slot.block for slot in self.slots), default=-1)
