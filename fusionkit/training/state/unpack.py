"""Puts a nested state together again from its tree and its tensors."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from fusionkit.errors import ResumeError

__all__ = ["unpack_state"]

FLOATS = ("nan", "inf", "-inf")


def unpack_state(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Gives the state whose tree and tensors ``pack_state`` gave.

    Each tensor has memory of its own, also where two shared theirs when they were written.

    Raises:
        ResumeError: the tree is none, or names other tensors than there are.
    """
    unpacking = _Unpacking(tensors)
    state = unpacking.unpack(tree)
    unused = tensors.keys() - unpacking.used
    if unused:
        raise ResumeError(f"the state does not name the tensor {min(unused)!r:.200} of its file")
    return state


class _Unpacking:
    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self.used: set[str] = set()

    def unpack(self, tree: Any) -> Any:
        if isinstance(tree, list):
            return [self.unpack(each) for each in tree]
        if not isinstance(tree, dict):
            return tree
        if len(tree) != 1:
            raise ResumeError(f"the state holds an object of {len(tree)} keys: {tree!r:.80}")
        ((kind, content),) = tree.items()
        try:
            return self._unpack_kind(kind, content)
        except (AttributeError, TypeError, ValueError) as error:
            raise ResumeError(f"the state holds a {kind!r:.80} that is none: {error}") from error

    def _unpack_kind(self, kind: str, content: Any) -> Any:
        makers: dict[str, Callable[[Any], Any]] = {
            "array": lambda name: self._tensor(name).numpy(),
            "bytes": lambda text: base64.b64decode(text, validate=True),
            "counter": lambda items: Counter(self._items(items)),
            "dict": lambda mapping: self._items(mapping.items()),
            "float": _special_float,
            "items": self._items,
            "permuted": lambda pair: self._permuted(*pair),
            "tensor": self._tensor,
            "tuple": lambda each: tuple(map(self.unpack, each)),
        }
        if kind not in makers:
            raise ValueError("this fusionkit does not know it")
        return makers[kind](content)

    def _permuted(self, name: str, order: list[int]) -> Tensor:
        value = self._tensor(name)
        if sorted(order) != list(range(value.ndim)):
            raise ValueError(f"{order!r:.80} are not the axes of {name!r:.200}")
        return value.permute([order.index(axis) for axis in range(value.ndim)])

    def _items(self, items: Iterable[Any]) -> dict[Any, Any]:
        return {key: self.unpack(each) for key, each in items}

    def _tensor(self, name: str) -> Tensor:
        if name not in self._tensors:
            raise ResumeError(f"the state names a tensor {name!r:.200} that its file does not hold")
        value = self._tensors[name]
        again = name in self.used
        self.used.add(name)
        return value.clone() if again else value


def _special_float(text: str) -> float:
    if text not in FLOATS:
        raise ValueError(f"{text!r:.80} is written as a number")
    return float(text)
