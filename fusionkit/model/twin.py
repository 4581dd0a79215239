"""Copies a module without its data."""

from __future__ import annotations

import types
from collections import OrderedDict
from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

__all__ = ["copy_without_data"]

Module = TypeVar("Module", bound=nn.Module)

HOLDERS = frozenset(("_buffers", "_modules", "_parameters"))
EMPTY = frozenset((dict, list, set, OrderedDict))
USUAL_WAYS = ("__getstate__", "__new__", "__reduce__", "__reduce_ex__")
OWN_WAYS = ("__deepcopy__", "__getnewargs__", "__getnewargs_ex__", "__slots__")
UNCHANGING = frozenset(
    (
        *(type(None), bool, int, float, complex, str, bytes, type, types.FunctionType),
        *(types.BuiltinFunctionType, torch.dtype, torch.device, torch.Size, frozenset),
    )
)
"""Types of which ``deepcopy`` gives the object itself, or might, for nobody can change it."""


def copy_without_data(module: Module) -> Module:
    """Gives what ``deepcopy`` gives, with parameters and buffers on the meta device.

    Most modules are copied by their attributes, which is several times faster; those that say
    themselves how they are copied are asked.
    """
    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        memo[id(parameter)] = nn.Parameter(_without_data(parameter), parameter.requires_grad)
    for buffer in module.buffers():
        memo[id(buffer)] = _without_data(buffer)
    parts = list(module.modules())
    plainly = {kind: _is_plain(kind) for kind in {type(part) for part in parts}}
    plain = [part for part in parts if plainly[type(part)]]
    for part in plain:
        memo[id(part)] = type(part).__new__(type(part))
    for part in plain:
        attributes = vars(memo[id(part)])
        for name, value in vars(part).items():
            attributes[name] = _copied(name, value, memo)
    return deepcopy(module, memo)


def _without_data(value: Tensor) -> Tensor:
    plain = type(value) in (Tensor, nn.Parameter) and value.layout is torch.strided
    if not plain or value.is_quantized:
        return value.detach().to("meta")
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")


def _is_plain(kind: type[nn.Module]) -> bool:
    """Tells whether a class leaves it to ``deepcopy`` and torch how its modules are copied."""
    if any(hasattr(kind, name) for name in OWN_WAYS):
        return False
    if not kind.__setstate__.__module__.startswith("torch.nn.modules."):
        return False  # torch's own give attributes to what an older torch has saved
    return all(getattr(kind, name, None) is getattr(nn.Module, name, None) for name in USUAL_WAYS)


def _copied(name: str, value: Any, memo: dict[int, Any]) -> Any:
    kind = type(value)
    if kind in UNCHANGING or (kind is tuple and all(type(each) in UNCHANGING for each in value)):
        return value
    if kind in EMPTY and not value:
        return kind()
    if kind is dict and name in HOLDERS:
        return {
            key: memo[id(each)] if id(each) in memo else deepcopy(each, memo)
            for key, each in value.items()
        }
    return deepcopy(value, memo)
