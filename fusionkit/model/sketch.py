"""Stands in for layers whose shapes torch works out slowly, where nothing is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["Sketch"]


class Sketch(TorchFunctionMode):
    """Answers linear layers, norms and attention on the meta device with products and sums.

    What comes out has the same shape and depends on the same tensors; torch's own account of
    such a layer takes a hundred times longer.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Gives the stand-in's answer where there is one, and else torch's own."""
        stand_in = STAND_INS.get(getattr(func, "__name__", ""))
        if stand_in is not None and args and isinstance(args[0], Tensor) and args[0].is_meta:
            answer = stand_in(*args, **(kwargs or {}))
            if answer is not None:
                return answer
        return func(*args, **(kwargs or {}))


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    if weight.ndim != 2 or not x.ndim:
        return None
    rows = x.reshape(-1, x.shape[-1]) @ weight.t()
    return _shifted(rows, bias).reshape(*x.shape[:-1], len(weight))


def _layer_norm(
    x: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *_: Any,
    **__: Any,
) -> Tensor:
    return _shifted(x * (1 if weight is None else weight), bias)


def _batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *_: Any,
    **__: Any,
) -> Tensor:
    return _scaled_channels(x, weight, bias)


def _group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *_: Any,
    **__: Any,
) -> Tensor:
    return _scaled_channels(x, weight, bias)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    *_: Any,
    enable_gqa: bool = False,
    **__: Any,
) -> Tensor | None:
    if enable_gqa:
        return None
    scores = _shifted(query @ key.mT, attn_mask)
    return scores @ value


def _scaled_channels(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    along = (-1, *(1 for _ in x.shape[2:]))
    scaled = x * (1 if weight is None else weight.view(along))
    return _shifted(scaled, None if bias is None else bias.view(along))


def _shifted(x: Tensor, by: Tensor | None) -> Tensor:
    return x if by is None else x + by


STAND_INS: Mapping[str, Callable[..., Tensor | None]] = {
    "linear": _linear,
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
    "scaled_dot_product_attention": _attention,
}
