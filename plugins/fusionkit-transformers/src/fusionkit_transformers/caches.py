"""Empties what some models keep in eval mode beside their parameters and buffers."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

__all__ = ["forget", "forget_after_load"]


def forget(trunk: nn.Module) -> None:
    """Empties tables of tensors, such as biases by position, that were worked out before."""
    for module in trunk.modules():
        for name, value in vars(module).items():
            if (
                isinstance(value, dict)
                and not name.startswith("_")
                and any(isinstance(entry, Tensor) for entry in value.values())
            ):
                value.clear()


def forget_after_load(trunk: nn.Module, _: Any) -> None:
    """Empties them after new parameters were loaded; a hook."""
    forget(trunk)
