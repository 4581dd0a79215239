"""Builds a module whose random values nobody will see, without drawing them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

__all__ = ["build_uninitialised"]

Built = TypeVar("Built")

LARGE = 4096
"""Of fewer values, drawing costs less than putting it off."""
DRAWING = frozenset(("kaiming_uniform_", "normal_", "uniform_"))
FILLING = frozenset(("add_", "clamp_", "div_", "erfinv_", "fill_", "mul_", "sub_", "zero_"))
LOOKING = frozenset(("dim", "is_floating_point", "numel", "requires_grad_", "size", "view"))
GETTERS = ("data", "device", "dtype", "is_meta", "ndim", "requires_grad", "shape")
ATTRIBUTES = frozenset(getattr(Tensor, name) for name in GETTERS)


def build_uninitialised(build: Callable[[], Built]) -> Built:
    """Gives what ``build`` gives, a module of which everything that a file holds is to be filled.

    Drawing random values for a tensor of some size is put off until someone reads the tensor.
    When the module is built, the draws for its parameters and persistent buffers are forgotten:
    their memory holds anything, and was never touched. All else gets its values, such
    as buffers that no file holds.
    """
    with _PutOff() as put_off:
        module = build()
    if isinstance(module, nn.Module):
        put_off.forget(module.state_dict(keep_vars=True).values())
    put_off.settle_all()
    return module


class _PutOff(TorchFunctionMode):
    """Keeps what would draw or change a large tensor's values, until its memory is read."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[int, list[Callable[[], object]]] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Puts the call off, or settles what it reads and passes it on."""
        options = kwargs or {}
        called = getattr(func, "__name__", "")
        if self.waiting or called in DRAWING:
            target = args[0] if args else options.get("tensor")
            if called in DRAWING or called in FILLING:
                if isinstance(target, Tensor) and self._puts_off(called, target, args, options):
                    self.waiting.setdefault(_memory(target), []).append(
                        lambda: func(*args, **options)
                    )
                    return target
                if not self.waiting:
                    return func(*args, **options)
            elif called in LOOKING or (called == "__get__" and func.__self__ in ATTRIBUTES):
                return func(*args, **options)
            for value in pytree.arg_tree_leaves(*args, **options):
                if isinstance(value, Tensor):
                    self._settle(_memory(value))
        return func(*args, **options)

    def _puts_off(
        self, called: str, target: Tensor, args: tuple[Any, ...], options: Mapping[str, Any]
    ) -> bool:
        if not _has_memory(target) or options.get("generator") is not None:
            return False
        others = pytree.arg_tree_leaves(*args[1:], **{**options, "tensor": None})
        if any(isinstance(value, Tensor) for value in others):
            return False
        return _memory(target) in self.waiting or (called in DRAWING and target.numel() >= LARGE)

    def forget(self, values: Iterable[object]) -> None:
        """Drops what was put off for memory that one of these tensors takes up whole."""
        for value in values:
            if isinstance(value, Tensor) and _has_memory(value):
                whole = value.untyped_storage().nbytes() == value.numel() * value.element_size()
                if whole:
                    self.waiting.pop(_memory(value), None)

    def settle_all(self) -> None:
        """Does everything that was put off."""
        for memory in list(self.waiting):
            self._settle(memory)

    def _settle(self, memory: int) -> None:
        calls = self.waiting.pop(memory, [])
        with torch.no_grad():
            for call in calls:
                call()


def _has_memory(value: Tensor) -> bool:
    return not value.is_meta and not is_lazy(value) and value.layout is torch.strided


def _memory(value: Tensor) -> int:
    """Gives what names a tensor's memory while the tensor lives; 0 for none."""
    return int(value.untyped_storage()._cdata) if _has_memory(value) else 0
