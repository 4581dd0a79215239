"""Finds tensors and modules that a module holds, and torch does not know of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.testing.check import Finding

__all__ = ["REGISTERS", "tell_left_by_inference", "tell_left_on_the_cpu", "tell_unregistered"]

DEPTH = 5
REGISTERS = frozenset({"_parameters", "_buffers", "_modules"})
SOURCES = ("_orig", "_v")
"""What torch's old spectral and weight norm, and pruning, call the parameter behind a weight."""

OTHER_DEVICE = re.compile("expected device|same device|different devices")


def tell_left_on_the_cpu(run_on_meta: Callable[[], object]) -> Iterator[Finding]:
    """Tells of a tensor that forward makes on the CPU.

    Args:
        run_on_meta: runs forward with parameters and input on the meta device.
    """
    try:
        run_on_meta()
    except Exception as error:
        # With values it has run, which other checks tell: what else a stranger's forward raises
        # here, of whatever kind, is for want of values, and says nothing of where tensors are.
        if OTHER_DEVICE.search(str(error)):
            yield Finding(
                f"with parameters and input on another device, forward uses a tensor that is on "
                f"the CPU: {str(error)[:300]}",
                "give what forward makes the device of its input, torch.arange(n, "
                "device=x.device), or hold it in register_buffer(name, tensor, persistent=False); "
                "what is kept from one pass to the next is kept by device too",
            )


def tell_left_by_inference(run: Callable[[], object]) -> Iterator[Finding]:
    """Tells of a tensor that was made under ``torch.inference_mode`` and kept.

    Args:
        run: runs forward with gradients, after it has run in that mode.
    """
    try:
        with torch.enable_grad():
            run()
    except RuntimeError as error:
        if "nference" not in str(error):
            raise
        yield Finding(
            f"after a pass under torch.inference_mode, one with gradients raises: {error!s:.200}",
            "make what is kept from one pass to the next in `with torch.inference_mode(False)`, or "
            "as a buffer in __init__",
        )


def tell_unregistered(module: nn.Module) -> Iterator[Finding]:
    """Gives a finding for each tensor and module that does not move, learn or save as it should."""
    known = {id(value) for value in (*module.parameters(), *module.buffers(), *module.modules())}
    for owner, each in module.named_modules():
        mine = {
            key: value
            for key, value in vars(each).items()
            if key not in REGISTERS and not _is_made_anew(each, key)
        }
        for path, found in _search(mine, known, owner, DEPTH):
            if isinstance(found, nn.Module):
                yield Finding(
                    f"{path} is a {type(found).__name__} that is not registered",
                    "keep modules in attributes, nn.ModuleList or nn.ModuleDict, so that they are "
                    "trained, moved and saved",
                )
            else:
                kind = "a tensor that learns and" if found.requires_grad else "a tensor that"
                yield Finding(
                    f"{path} is {kind} is not registered",
                    "make it an nn.Parameter (in an nn.ParameterList or nn.ParameterDict), or "
                    "self.register_buffer(name, tensor) if it never learns",
                )
    for name, buffer in module.named_buffers():
        if buffer.requires_grad:
            yield Finding(
                f"the buffer {name} requires gradients, and no optimizer will see it",
                "make it an nn.Parameter",
            )
    yield from _tell_shared(module)


def _tell_shared(module: nn.Module) -> Iterator[Finding]:
    """Gives a finding for each two parameters over the same memory."""
    seen: dict[int, str] = {}
    for name, value in module.named_parameters():
        if value.is_meta or value.layout is not torch.strided or not value.numel():
            continue
        other = seen.setdefault(value.data_ptr(), name)
        if other != name:
            yield Finding(
                f"{other} and {name} are two parameters over the same memory",
                "tie them by making both the same parameter, b.weight = a.weight without .data: "
                "an optimizer steps each of two, and a copy takes them apart",
            )


def _is_made_anew(module: nn.Module, attribute: str) -> bool:
    """Tells a weight that a hook of torch makes of a parameter before each pass."""
    return any(f"{attribute}{ending}" in module._parameters for ending in SOURCES)


def _search(
    value: Any, known: set[int], path: str, depth: int
) -> Iterator[tuple[str, Tensor | nn.Module]]:
    """Gives tensors and modules that are not registered, with where they are."""
    if isinstance(value, (Tensor, nn.Module)):
        if id(value) not in known:
            known.add(id(value))  # told once
            yield path, value
        return
    if depth == 0 or isinstance(value, (type, ModuleType, str, bytes, int, float)):
        return
    for key, inner in _inside(value):
        yield from _search(inner, known, f"{path}.{key}".lstrip("."), depth - 1)


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((str(key), inner) for key, inner in value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((str(index), inner) for index, inner in enumerate(value))
    elif isinstance(value, partial):
        yield from _inside((value.func, *value.args, *value.keywords.values()))
    elif isinstance(value, MethodType):
        yield "__self__", value.__self__
    elif isinstance(value, FunctionType):
        for cell in value.__closure__ or ():
            try:
                yield value.__name__, cell.cell_contents
            except ValueError:  # not filled yet
                continue
    elif type(value).__module__ not in ("builtins", "torch") and hasattr(value, "__dict__"):
        yield from vars(value).items()
