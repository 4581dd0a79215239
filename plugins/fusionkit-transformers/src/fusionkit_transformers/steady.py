"""Lets attention pooling give the same bits whether its parameters learn or not."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

__all__ = ["steady_attention"]


def steady_attention(trunk: nn.Module) -> None:
    """Lays out what torch's own attention modules are given so that they compute alike.

    They turn batches of tokens round, and torch multiplies what was turned round in another order
    where the weight requires no gradient. Laid out the other way, it is in order once turned.
    """
    for module in trunk.modules():
        if isinstance(module, nn.MultiheadAttention) and module.batch_first:
            module.register_forward_pre_hook(_lay_out)


def _lay_out(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    laid: dict[int, Any] = {}  # so that the same tensor stays the same, which the module asks
    for value in inputs:
        is_batch = isinstance(value, Tensor) and value.ndim == 3
        turned = value.transpose(0, 1).contiguous().transpose(0, 1) if is_batch else value
        laid.setdefault(id(value), turned)
    return tuple(laid[id(value)] for value in inputs)
