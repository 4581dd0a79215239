"""Notes which parameters are made while something runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from torch import nn

from fusionkit.testing.check import Finding
from fusionkit.testing.words import some

__all__ = ["parameters_made", "tell_made"]


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


def tell_made(made: Iterable[str], when: str = "") -> Finding:
    """Says which parameters a forward pass made and did not keep."""
    return Finding(
        f"{when}forward made {some(sorted(set(made)))} and threw it away again",
        "make the layer in __init__: one that is made anew in each pass has other values each "
        "time, and never learns",
    )
