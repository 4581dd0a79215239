"""Watches a model run on the meta device, where it computes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fusionkit.providers.timm.empty import Born

__all__ = ["Trace", "find_sizes", "pool_positions", "trace_model"]

STEPS = (1, 2, 4, 8, 14, 16, 28, 32, 48, 56, 64)
SAME_SHAPE = frozenset(
    ("batch_norm", "gelu", "group_norm", "hardswish", "layer_norm", "relu", "relu_", "rms_norm",
     "sigmoid", "silu", "softmax")
)  # fmt: skip
SUMS = frozenset(("add", "mul", "sub"))
BLIND = frozenset(("timm.models.mvitv2",))
"""Modules whose models look positions up in tables that end where the size ends for which they
were built, which shows only where there are values."""

REFUSALS = (AssertionError, IndexError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Trace:
    """What one run of a model showed.

    Attributes:
        first_use: when each parameter was first read, by its name; unread ones are missing.
        vector: the shape of the pooled vector.
        maps: the shapes of all intermediate maps, as the model numbers them.
        has_head: whether the model itself pools; an encoder does not.
    """

    first_use: Mapping[str, int]
    vector: tuple[int, ...]
    maps: tuple[tuple[int, ...], ...]
    has_head: bool


class _Reader(TorchFunctionMode):
    """Notes when each parameter is first an argument of a torch function."""

    def __init__(self, names: Mapping[int, str], born: Born | None) -> None:
        super().__init__()
        self.born = born
        self.names = names
        self.first_use: dict[str, int] = {}
        self.calls = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Passes every call on, after a look at its arguments."""
        called = getattr(func, "__name__", "")
        if called == "__get__":  # a look at a shape reads no values
            return func(*args, **(kwargs or {}))
        self.calls += 1
        if self.names:
            self._note((*args, *(kwargs or {}).values()))
        made = _answer(func, called, args, kwargs or {})
        if self.born is not None:
            self.born.note(made)
        return made

    def _note(self, values: Iterable[Any]) -> None:
        for value in values:
            name = self.names.get(id(value))
            if name is not None:
                self.first_use.setdefault(name, self.calls)
            elif isinstance(value, list | tuple):
                self._note(value)
            elif isinstance(value, dict):
                self._note(value.values())


def _answer(func: Any, called: str, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """Gives what a function gives, on the meta device many times faster than torch's own account.

    There only shapes matter, so that what has the shape of its argument may be that argument.
    """
    if args and isinstance(args[0], Tensor) and args[0].is_meta:
        if called in SAME_SHAPE:
            return args[0]
        given = len(args)
        if called in SUMS and given == 2 and not kwargs and _alike(*args):
            return args[0].new_empty(args[0].shape)
        if called == "linear" and given > 1 and args[0].shape[-1] == args[1].shape[1]:
            return args[0].new_empty(*args[0].shape[:-1], len(args[1]))
        if called == "scaled_dot_product_attention" and _fit(args, kwargs):
            return args[0].new_empty(*args[0].shape[:-1], args[2].shape[-1])
        if called == "lstm" and isinstance(args[1], list | tuple):
            width = args[1][0].shape[-1] * (2 if args[7] else 1)
            return args[0].new_empty(*args[0].shape[:2], width), *args[1]
    return func(*args, **kwargs)


def _alike(one: Tensor, other: Any) -> bool:
    return isinstance(other, Tensor) and (one.shape, one.dtype) == (other.shape, other.dtype)


def _fit(args: Any, kwargs: Mapping[str, Any]) -> bool:
    """Tells whether attention takes its arguments; where it may not, torch itself says so."""
    if len(args) < 3:
        return False
    query, key, value = args[:3]
    mask = args[3] if len(args) > 3 else kwargs.get("attn_mask")
    scores = (query.shape[-2], key.shape[-2])
    return (
        query.shape[-1] == key.shape[-1]
        and key.shape[-2] == value.shape[-2]
        and (mask is None or all(a in (1, b) for a, b in zip(mask.shape[-2:], scores, strict=True)))
    )


def trace_model(
    model: nn.Module,
    channels: int,
    size: tuple[int, int],
    born: Born | None = None,
    *,
    only_shapes: bool = False,
) -> Trace:
    """Gives the trace of one run in eval mode, on the device that the model lies on.

    Args:
        model: a timm model; left in eval mode.
        channels: of its input.
        size: height and width of its input in pixels.
        born: takes note of all tensors that are made.
        only_shapes: leaves out when parameters are read.
    """
    device = next(model.parameters()).device
    image = torch.zeros(1, channels, *size, device=device)
    if model.training:
        model.eval()
    parameters = () if only_shapes else model.named_parameters()
    names = {id(value): name for name, value in parameters}
    with torch.no_grad(), _Reader(names, born) as reader:
        final, maps = model.forward_intermediates(image, output_fmt="NCHW")  # type: ignore[operator]
        try:
            vector: Tensor = model.forward_head(final, pre_logits=True)  # type: ignore[operator]
            has_head = True
        except (AttributeError, NotImplementedError, TypeError):
            vector = pool_positions(model(image))
            has_head = False
    return Trace(
        first_use=reader.first_use,
        vector=tuple(vector.shape),
        maps=tuple(tuple(level.shape) for level in maps),
        has_head=has_head,
    )


def pool_positions(features: Tensor) -> Tensor:
    """Gives the mean "b c" over all positions of an encoder's maps "b c h w" or tokens "b n c"."""
    return features.mean((2, 3)) if features.ndim == 4 else features.mean(1)


def find_sizes(
    model: nn.Module,
    channels: int,
    size: tuple[int, int],
    here: Trace,
    born: Born | None = None,
) -> tuple[tuple[int, int] | None, int]:
    """Gives the only size that a model takes, or ``None`` and what sides must be multiples of.

    Found by trying; on the meta device that costs little, and a refusal next to nothing. A model
    that scales every image to one size of its own takes that size only: at any other, its maps
    would not have the strides that they have here.
    """
    if type(model).__module__ in BLIND:
        return size, 1
    height, width = size
    for step in STEPS:
        if height % step or width % step:
            continue
        # an odd multiple beyond half a patch of any common size, so that rounding hides nothing
        offset = step * (1 + 2 * (33 // (2 * step)))
        # and the next one, for what both are multiples of is the step alone
        tried = (offset,) if offset == step else (offset, offset + 2 * step)
        others = [(height + more, width + more) for more in tried]
        try:
            there = [
                trace_model(model, channels, other, born, only_shapes=True) for other in others
            ]
        except REFUSALS:
            continue
        if any(len(shape) == 4 for shape in here.maps) and here.maps == there[0].maps:
            break
        return None, step
    return size, 1
