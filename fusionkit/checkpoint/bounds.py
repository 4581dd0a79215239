"""Keeps a config from building a model that its file could never fill."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from fusionkit.errors import CheckpointError

__all__ = ["Bounds"]

UNWRITTEN = {"empty", "empty_strided"}
WRITTEN = {"eye", "full", "ones", "rand", "randint", "randn", "zeros"}
OTHERS = {"arange", "linspace", "logspace", "randperm", "tensor"}
COUNTED = frozenset(UNWRITTEN | WRITTEN | OTHERS)
PLACES = ("device", "generator", "out", "pin_memory")
SMALL = 16_000_000
TIMES = 32
"""Some providers build a classifier that is dropped again, with most of all parameters."""

FEW = 10_000


class Bounds(TorchFunctionMode):
    """Refuses to make tensors beyond some times what a file holds.

    The options in a config are a plugin's own, so that it cannot be told from them how large a
    layer or how many of them they ask for. What is counted is what a factory makes of them,
    before anything is written to it: until then, it takes no memory.
    """

    def __init__(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        super().__init__()
        held = sum(value.numel() for value in tensors.values())
        self._values = SMALL + TIMES * held
        self._tensors = FEW + TIMES * len(tensors)
        self._path = path

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Calls a function of torch, and counts what it made."""
        name = getattr(function, "__name__", "")
        if name not in COUNTED:
            return function(*args, **(kwargs or {}))
        given = dict(kwargs or {})
        if name in WRITTEN:
            plain = {key: value for key, value in given.items() if key not in PLACES}
            self._count(function(*args, **plain, device="meta"))
        result = function(*args, **given)
        if name not in WRITTEN:
            self._count(result)
        return result

    def _count(self, made: Tensor) -> None:
        self._tensors -= 1
        self._values -= made.numel()
        if self._values < 0 or self._tensors < 0:
            raise CheckpointError(
                f"{self._path}: what it asks for is far larger than what the file of tensors "
                "holds; it is damaged"
            )
