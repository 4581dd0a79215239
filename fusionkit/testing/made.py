"""Notes which parameters are made while something runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from torch import nn

__all__ = ["parameters_made"]


@contextmanager
def parameters_made(module: nn.Module) -> Iterator[list[str]]:
    """Gives the names of new parameters of all modules that come into being in the block.

    Those that ``module`` had before are not new, wherever they are put.
    """
    known = {id(value) for value in module.parameters()}
    made: list[str] = []
    register: Any = nn.Module.register_parameter

    def note(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if param is not None and id(param) not in known:
            made.append(f"{type(self).__name__}.{name}")
        register(self, name, param)

    with patch.object(nn.Module, "register_parameter", note):
        yield made
