"""Freezes and thaws the parameters of one branch."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn

__all__ = ["freeze_all_but"]


def freeze_all_but(
    trunk: nn.Module, learning: Collection[str]
) -> tuple[tuple[nn.Parameter, ...], bool]:
    """Gives the parameters that are frozen now, and whether any of the trunk's changed.

    What is frozen loses its gradient too, so that an optimizer skips it.

    Args:
        trunk: whose parameters are frozen and thawed.
        learning: the names of those that learn.
    """
    frozen: list[nn.Parameter] = []
    changed = False
    for path, parameter in trunk.named_parameters():
        learns = path in learning
        if parameter.requires_grad != learns:
            parameter.requires_grad_(learns)
            changed = True
        if not learns:
            parameter.grad = None
            frozen.append(parameter)
    return tuple(frozen), changed
