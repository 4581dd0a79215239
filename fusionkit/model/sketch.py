"""Stands in for layers whose shapes torch works out slowly, where nothing is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["Sketch"]


class Sketch(TorchFunctionMode):
    """Answers common layers on the meta device with their shapes and what they depend on alone.

    What comes out has the same shape and depends on the same tensors; torch's own account of
    such a layer takes ten to a hundred times longer. What does not fit is left to torch, which
    says so.
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


class _Depends(torch.autograd.Function):
    """Gives a tensor of a shape, of the first tensor's type, that depends on all tensors."""

    @staticmethod
    def forward(ctx: Any, shape: Any, *tensors: Tensor | None) -> Tensor:
        assert tensors[0] is not None
        return tensors[0].new_empty(shape)


def _depends(shape: Any, *tensors: Tensor | None) -> Tensor | None:
    """Gives the same, or nothing where types differ, since torch decides on the result's."""
    given = [value for value in tensors if value is not None]
    first = given[0]
    if not all(value.is_meta and value.dtype == first.dtype for value in given):
        return None
    answer: Tensor = _Depends.apply(shape, *given)
    return answer


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    if weight.ndim != 2 or not x.ndim or x.shape[-1] != weight.shape[1]:
        return None
    if bias is not None and bias.shape != weight.shape[:1]:
        return None
    return _depends((*x.shape[:-1], weight.shape[0]), x, weight, bias)


def _layer_norm(
    x: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *_: Any,
    **__: Any,
) -> Tensor | None:
    rows = tuple(normalized_shape)
    scales = [value.shape for value in (weight, bias) if value is not None]
    if any(shape != rows for shape in (x.shape[-len(rows) :], *scales)):
        return None
    return _depends(x.shape, x, weight, bias)


def _batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *_: Any,
    **__: Any,
) -> Tensor | None:
    if any(s is not None and s.shape != x.shape[1:2] for s in (running_mean, running_var)):
        return None
    return _per_channel(x, weight, bias)


def _group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *_: Any,
    **__: Any,
) -> Tensor | None:
    return None if x.shape[1] % num_groups else _per_channel(x, weight, bias)


def _per_channel(x: Tensor, *scales: Tensor | None) -> Tensor | None:
    if x.ndim < 2 or any(s is not None and s.shape != x.shape[1:2] for s in scales):
        return None
    return _depends(x.shape, x, *scales)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    *_: Any,
    enable_gqa: bool = False,
    **__: Any,
) -> Tensor | None:
    shapes = (query.shape, key.shape, value.shape)
    if enable_gqa or attn_mask is not None or any(len(shape) < 2 for shape in shapes):
        return None
    fits = query.shape[:-2] == key.shape[:-2] == value.shape[:-2]
    fits = fits and query.shape[-1] == key.shape[-1] and key.shape[-2] == value.shape[-2]
    if not fits:
        return None
    return _depends((*query.shape[:-1], value.shape[-1]), query, key, value)


def _activation(x: Tensor, inplace: bool = False, **_: Any) -> Tensor | None:
    if inplace:  # the same object, which torch forbids for a leaf
        return None if x.is_leaf else x
    return _depends(x.shape, x)


def _elementwise(x: Tensor, other: Any, **more: Any) -> Tensor | None:
    """Adds or multiplies, where the shape is the first one's."""
    if more or not x.is_floating_point():
        return None
    if type(other) in (int, float):
        return _depends(x.shape, x)
    if not isinstance(other, Tensor) or other.shape not in (x.shape, x.shape[-1:]):
        return None
    return _depends(x.shape, x, other)


STAND_INS: Mapping[str, Callable[..., Tensor | None]] = {
    "add": _elementwise,
    "batch_norm": _batch_norm,
    "gelu": _activation,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
    "linear": _linear,
    "mul": _elementwise,
    "relu": _activation,
    "scaled_dot_product_attention": _attention,
    "sigmoid": _activation,
    "silu": _activation,
}
