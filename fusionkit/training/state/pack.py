"""Divides a nested state into a tree that JSON holds and tensors by name."""

from __future__ import annotations

import base64
import math
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.errors import CheckpointError
from fusionkit.tensors.dtypes import NAMES
from fusionkit.tensors.header import check_name

__all__ = ["MAX_DEPTH", "pack_state"]

MAX_DEPTH = 100
"""How deep a state may be nested; a deeper one most likely holds itself."""

MAX_INT = 10**1000


def pack_state(state: Mapping[Any, Any]) -> tuple[Any, dict[str, Tensor]]:
    """Gives a tree of plain JSON, and the tensors that it names.

    What JSON does not have is written as an object of one key that says what it is:
    ``{"tensor": name}``, ``{"tuple": [...]}``, ``{"dict": {...}}``, ``{"float": "nan"}``.
    The tensors are those of the state, not copies. One that lies in memory in another order of its
    axes, as with ``torch.channels_last``, is written as it lies: an optimizer that is fused goes
    through a parameter and its state side by side, and would mix up their values.

    Raises:
        CheckpointError: names the path in the state of what cannot be written.
    """
    packing = _Packing()
    return packing.pack(state, ()), packing.tensors


class _Packing:
    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._places: dict[tuple[Any, ...], str] = {}

    def pack(self, value: Any, path: tuple[str, ...]) -> Any:
        if len(path) > MAX_DEPTH:
            raise _refusal(path[:4], f"is nested deeper than {MAX_DEPTH} levels, or holds itself")
        if value is None or type(value) in (bool, str, int, float):
            return _pack_plain(value, path)
        if isinstance(value, Tensor):
            order = _memory_order(value)
            if order is None:
                return {"tensor": self._tensor(value, path)}
            return {"permuted": [self._tensor(value.permute(order), path), order]}
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        if type(value) in (list, tuple, torch.Size):
            each = [self.pack(each, (*path, str(place))) for place, each in enumerate(value)]
            return each if type(value) is list else {"tuple": each}
        return self._other(value, path)

    def _mapping(self, value: Mapping[Any, Any], path: tuple[str, ...]) -> dict[str, Any]:
        for key in value:
            if type(key) not in (str, int):
                raise _refusal(
                    path, f"has the key {key!r:.80}, but keys are text or whole numbers here"
                )
        if not isinstance(value, Counter) and all(type(key) is str for key in value):
            return {"dict": {key: self.pack(each, (*path, key)) for key, each in value.items()}}
        kind = "counter" if isinstance(value, Counter) else "items"
        return {kind: [[key, self.pack(each, (*path, str(key)))] for key, each in value.items()]}

    def _other(self, value: Any, path: tuple[str, ...]) -> Any:
        if type(value) in (bytes, bytearray):
            return {"bytes": base64.b64encode(value).decode()}
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, numpy.ndarray):
            try:
                return {"array": self._tensor(torch.from_numpy(value.copy()), path)}
            except TypeError as error:
                raise _refusal(
                    path, f"is an array of {value.dtype}, which no tensor file has"
                ) from error
        if numpy is not None and isinstance(value, (numpy.bool_, numpy.integer, numpy.floating)):
            return self.pack(value.item(), path)
        raise _refusal(
            path,
            f"is a {type(value).__module__}.{type(value).__qualname__}; write it as numbers, "
            "text, lists, mappings or tensors",
        )

    def _tensor(self, value: Tensor, path: tuple[str, ...]) -> str:
        problem = _problem(value)
        if problem:
            raise _refusal(path, problem)
        where = (value.data_ptr(), value.shape, value.stride(), value.dtype, value.device)
        place = (*where, value.is_conj(), value.is_neg())
        if value.numel() and place in self._places:
            return self._places[place]
        name = self._name(path)
        self.tensors[name] = value
        if value.numel():
            self._places[place] = name
        return name

    def _name(self, path: tuple[str, ...]) -> str:
        """Gives the path as a name, or a number where it is no name or is another's."""
        name = "/".join(path)
        try:
            check_name(name)
        except ValueError:
            name = ""
        return name if name and name not in self.tensors else f"/{len(self.tensors)}"


def _pack_plain(value: Any, path: tuple[str, ...]) -> Any:
    if type(value) is int and abs(value) >= MAX_INT:
        raise _refusal(path, "is a number of more than a thousand digits")
    if type(value) is float and not math.isfinite(value):
        return {"float": repr(value)}
    return value


def _memory_order(value: Tensor) -> list[int] | None:
    """Gives the axes from the outermost in memory to the innermost, where that is not theirs."""
    if type(value) not in (Tensor, nn.Parameter) or value.layout is not torch.strided:
        return None  # which is refused
    if value.is_contiguous():
        return None
    order = sorted(range(value.ndim), key=value.stride, reverse=True)
    return order if value.permute(order).is_contiguous() else None


def _problem(value: Tensor) -> str:
    """Says why a tensor cannot be written, or gives an empty string."""
    sharded = sys.modules.get("torch.distributed.tensor")
    if sharded is not None and isinstance(value, sharded.DTensor):
        return (
            "is a DTensor, of which each process has a part; gather it first: "
            "torch.distributed.checkpoint.state_dict.get_state_dict(model, optimizer, "
            "options=StateDictOptions(full_state_dict=True, cpu_offload=True))"
        )
    if type(value) not in (Tensor, nn.Parameter):
        return f"is a {type(value).__qualname__}, of which only the values could be written"
    if value.is_meta:
        return "is on the meta device and has no values"
    if value.layout is not torch.strided or value.is_quantized:
        return f"is {'quantised' if value.is_quantized else 'sparse'}; make it dense first"
    if value.dtype not in NAMES:
        return f"is of type {value.dtype}, which safetensors does not have; convert it first"
    return ""


def _refusal(path: tuple[str, ...], problem: str) -> CheckpointError:
    place = "/".join(path)
    return CheckpointError(f"the state cannot be written: {place or 'it'!r:.200} {problem}")
