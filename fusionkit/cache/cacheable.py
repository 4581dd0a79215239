"""Which branches can be cached at an epoch, and why another cannot."""

from __future__ import annotations

from typing import Protocol

from fusionkit.errors import CacheError, did_you_mean
from fusionkit.model.fused import FusedModel

__all__ = ["Randomness", "cacheable_branches", "check_cacheable", "check_worth"]


class Randomness(Protocol):
    """An augmentation, as far as the cache asks."""

    @property
    def is_random(self) -> bool:
        """Whether it gives another image each epoch."""


def check_cacheable(
    model: FusedModel,
    branch: str,
    augment: Randomness | None = None,
    epoch: int | None = None,
    *,
    views: int = 0,
) -> None:
    """Refuses a branch whose features are not the same each epoch, and says why.

    Args:
        model: whose branch it is.
        branch: its name.
        augment: what is done to its input at random.
        epoch: counted from 0; by default the one that the model is at.
        views: how many augmented views of each sample are kept; 0 for none.

    Raises:
        CacheError: there is no such branch, some of it learns at the epoch, or the augmentation is
            random and no views of it are kept.
    """
    if branch not in model.parts:
        raise CacheError(
            f"there is no branch {branch!r:.80}.{did_you_mean(branch, model.parts)} "
            f"The branches are {', '.join(model.parts)}"
        )
    part = model.parts[branch]
    now = model.epoch if epoch is None else epoch
    if learning := part.learning(now):
        first = next(slot.name for slot in part.anatomy.slots if slot.name in learning)
        raise CacheError(
            f"branch {branch!r} cannot be cached: {len(learning)} of its parameters learn at epoch "
            f"{now}, the first is {first!r}, so its features change with every step; freeze it "
            "whole with Branch(freeze=Freeze.all()), or write cache=False"
        )
    if augment is not None and augment.is_random and not views:
        raise CacheError(
            f"branch {branch!r} cannot be cached: its input is augmented at random, so its "
            "features are others each epoch; train without augmentation, keep some augmented "
            "views of each sample with views=4, or write cache=False"
        )


def cacheable_branches(model: FusedModel, epoch: int | None = None) -> tuple[str, ...]:
    """Gives the branches that are frozen whole at an epoch, by default the model's."""
    now = model.epoch if epoch is None else epoch
    return tuple(name for name, part in model.parts.items() if not part.learning(now))


def check_worth(model: FusedModel, augment: Randomness | None, views: int) -> None:
    """Refuses a cache that could not hold one branch at any epoch, and says why.

    What thaws later is cached until then, and what learns from the start is not.

    Raises:
        CacheError: every branch learns from the first epoch on, or the augmentation is random.
    """
    frozen = cacheable_branches(model, 0)
    for branch in frozen or model.parts:
        check_cacheable(model, branch, augment, 0, views=views)
