"""A model that was built without memory gets memory without values."""

from __future__ import annotations

from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = ["Born", "Snapshot", "give_memory"]


class Born:
    """Remembers tensors that were made on the meta device, and whether any of them is left."""

    def __init__(self) -> None:
        self._tensors: list[ref[Tensor]] = []

    def note(self, made: Any) -> None:
        """Remembers what a function of torch gave."""
        if isinstance(made, Tensor):
            if made.is_meta:
                self._tensors.append(ref(made))
        elif isinstance(made, tuple | list):
            for each in made:
                self.note(each)

    def are_gone(self) -> bool:
        """Tells whether nobody holds any of them any more."""
        return all(each() is None for each in self._tensors)


class Snapshot:
    """The attributes of a new model's modules, to tell by whether running it left a trace."""

    def __init__(self, model: nn.Module) -> None:
        self._before = [(part, dict(vars(part))) for part in model.modules()]

    def is_unchanged(self) -> bool:
        """Tells whether the model is as it was, after it was put back into train mode."""
        try:
            return all(
                part.training and vars(part) == attributes for part, attributes in self._before
            )
        except (RuntimeError, TypeError, ValueError):  # values that cannot be compared are others
            return False


def give_memory(model: nn.Module, born: Born) -> bool:
    """Puts a model from the meta device on the CPU, where it is filled by whoever asked for it.

    Tied parameters stay tied. What a file does not hold has to have its values, so a model that
    has such buffers, or that keeps a tensor anywhere else, cannot be used.

    Args:
        model: of which nobody holds a parameter.
        born: all tensors that were made while it was built and run.

    Returns:
        Whether it can be used; it is to be built in another way if not.
    """
    slots = [
        (part, held, name, value)
        for part in model.modules()
        for held in (part._parameters, part._buffers)
        for name, value in held.items()
        if value is not None
    ]
    if not all(_can_be_empty(part, name, value) for part, _, name, value in slots):
        return False
    fresh: dict[int, Tensor] = {}
    for _, _, _, value in slots:
        born.note(value)
        if value.is_meta and id(value) not in fresh:
            fresh[id(value)] = _empty(value)
    places: list[tuple[Any, str, int]] = [(held, name, id(value)) for _, held, name, value in slots]
    slots.clear()
    del value
    for held, name, identity in places:
        if identity in fresh:
            held[name] = fresh[identity]
    return born.are_gone()


def _can_be_empty(part: nn.Module, name: str, value: Tensor) -> bool:
    if not value.is_meta:
        return True
    plain = type(value) in (Tensor, nn.Parameter) and not is_lazy(value)
    plain = plain and value.layout is torch.strided and not value.is_quantized
    return plain and value.grad_fn is None and name not in part._non_persistent_buffers_set


def _empty(value: Tensor) -> Tensor:
    empty = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="cpu")
    if isinstance(value, nn.Parameter):
        empty = nn.Parameter(empty, value.requires_grad)
    vars(empty).update(vars(value))
    return empty
