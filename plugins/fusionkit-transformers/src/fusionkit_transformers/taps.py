"""Takes what modules in the midst of a trunk give, without changing the trunk's names."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Taps"]


class Taps:
    """Hooks on some modules that keep their outputs while somebody asks for them.

    They can be copied and pickled with the trunk. Each thread has what its own pass took.
    """

    def __init__(self, trunk: nn.Module, paths: Iterable[str]) -> None:
        self._taken: dict[int, dict[int, Tensor]] = {}
        for index, path in enumerate(paths):
            trunk.get_submodule(path).register_forward_hook(_Tap(self, index))

    def open(self, indices: Iterable[int]) -> None:
        """Starts to keep what the modules of these indices give."""
        self._taken[_thread()] = dict.fromkeys(indices)  # type: ignore[arg-type]

    def close(self) -> dict[int, Tensor]:
        """Gives what was kept since ``open``, by index."""
        return self._taken.pop(_thread(), {})

    def keep(self, index: int, output: Any) -> None:
        """Keeps an output, if it was asked for; the last one, where a module runs again."""
        wanted = self._taken.get(_thread())
        if wanted is not None and index in wanted:
            wanted[index] = output if isinstance(output, Tensor) else output[0]

    def __getstate__(self) -> dict[str, Any]:
        return {"_taken": {}}


class _Tap:
    """A hook that, unlike a closure, can be pickled."""

    def __init__(self, taps: Taps, index: int) -> None:
        self.taps = taps
        self.index = index

    def __call__(self, _module: nn.Module, _args: Any, output: Any) -> None:
        self.taps.keep(self.index, output)


def _thread() -> int:
    # A compiled or exported pass is traced by one thread, and cannot ask which.
    return 0 if torch.compiler.is_compiling() else threading.get_ident()
