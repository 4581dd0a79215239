"""Tells which norms move statistics."""

from __future__ import annotations

from torch import nn

__all__ = ["moves_statistics"]


def moves_statistics(module: nn.Module) -> bool:
    """Tells torch's norms that keep statistics from those of one batch, and from fixed ones."""
    return isinstance(module, nn.modules.batchnorm._NormBase) and module.running_mean is not None
