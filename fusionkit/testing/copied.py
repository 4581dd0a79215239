"""Copies and pickles of modules, whose failure says which attribute it is about."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import TypeVar

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from fusionkit.testing.check import NotApplicableError
from fusionkit.testing.registered import REGISTERS

__all__ = ["deepcopied", "pickled_and_back"]

Module = TypeVar("Module", bound=nn.Module)


class UncopiedError(Exception):
    """Raised where a module cannot be copied; its message names the attribute."""


def deepcopied(module: Module) -> Module:
    """Gives a deep copy.

    Raises:
        UncopiedError: names the attribute that has none.
    """
    return _tried(module, copy.deepcopy)


def pickled_and_back(module: Module) -> Module:
    """Gives what a module's pickle holds.

    Raises:
        NotApplicableError: torch pickles no module of its kind.
        UncopiedError: names the attribute that has none.
    """
    if any(map(is_parametrized, module.modules())):
        raise NotApplicableError("torch pickles no parametrized modules, only their state dicts")
    return _tried(module, lambda value: pickle.loads(pickle.dumps(value)))  # noqa: S301 -- own bytes


def _tried(module: Module, make: Callable[[Module], Module]) -> Module:
    try:
        return make(module)
    except Exception as error:  # a stranger's attribute raises what it likes
        name = _name_uncopied(module, make)
        if name is None:
            raise
        raise UncopiedError(f"{name}: {type(error).__name__}: {error}") from error


def _name_uncopied(module: nn.Module, make: Callable[..., object]) -> str | None:
    """Gives the name of the first attribute that fails by itself, the deepest module's."""
    for path, each in reversed(list(module.named_modules())):
        for name, value in vars(each).items():
            if name in REGISTERS:
                continue
            try:
                make(value)
            except Exception:  # as above
                return ".".join(filter(None, ["self", path, name]))
    return None
