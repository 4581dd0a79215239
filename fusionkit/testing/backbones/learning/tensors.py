"""Takes down what a module holds, to the bit, and tells what of it has changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.features import Features

__all__ = ["answers", "changed", "keep", "plain_tensors", "same_bits", "tensors_of"]


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Gives every parameter and buffer under each of its names, those that are not saved too."""
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }


def plain_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Gives the tensors that modules keep as plain attributes, or in a list or dict of them."""
    return {
        f"{path}.{name}".lstrip("."): value
        for path, each in module.named_modules()
        for attribute, held in vars(each).items()
        if not attribute.startswith(("_parameters", "_buffers", "_modules"))
        for name, value in _inside(attribute, held)
    }


def keep(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gives copies that stay what they are."""
    return {name: value.detach().clone() for name, value in tensors.items()}


def changed(before: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> list[str]:
    """Gives the names of what is gone or is no longer what it was, to the bit."""
    return [
        name for name, value in before.items() if name not in now or not same_bits(value, now[name])
    ]


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Tells whether two tensors are the same; NaN is the same as NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or (
        one.is_floating_point() and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
    )


def answers(features: Features) -> dict[str, Tensor]:
    """Gives the vector, the logits and the maps by a name for each."""
    single = {"vector": features.vector, "logits": features.logits}
    found = {name: value.detach() for name, value in single.items() if value is not None}
    return found | {f"map {index}": value.detach() for index, value in enumerate(features.maps)}


def _inside(name: str, held: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(held, Tensor):
        yield name, held
    elif isinstance(held, (list, tuple)):
        for index, value in enumerate(held):
            if isinstance(value, Tensor):
                yield f"{name}[{index}]", value
    elif isinstance(held, dict):
        for key, value in held.items():
            if isinstance(value, Tensor):
                yield f"{name}[{key!r}]", value
