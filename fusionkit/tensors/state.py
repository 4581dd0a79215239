"""The tensors of a module that a file can hold, and those that it cannot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain

import torch
from torch import Tensor, nn

from fusionkit.errors import CheckpointError
from fusionkit.tensors.dtypes import NAMES
from fusionkit.tensors.finite import has_finite_sum

__all__ = ["nonfinite_problem", "state_of", "state_problems"]


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Gives the parameters and persistent buffers themselves by name, tied ones by each name.

    Raises:
        CheckpointError: one of them is none that a tensor file holds and gives back: it has no
            values, is sparse or quantised, or is made up by a hook when the state is asked for.
    """
    state: dict[str, Tensor] = dict(module.state_dict(keep_vars=True))
    for name, problem in _problems(module, state).items():
        raise CheckpointError(f"{name!r:.200} {problem}")
    return state


def state_problems(module: nn.Module) -> dict[str, str]:
    """Says by name what is wrong with each part of the state that no tensor file can hold."""
    return _problems(module, module.state_dict(keep_vars=True))


def _problems(module: nn.Module, state: Mapping[str, object]) -> dict[str, str]:
    own = {id(value) for value in chain(module.parameters(), module.buffers())}
    said = {name: _problem(value, id(value) in own) for name, value in state.items()}
    for name, value in module.named_buffers():
        if value.is_meta and name not in said:
            said[name] = "is on the meta device and has no values"
    return {name: problem for name, problem in said.items() if problem}


def nonfinite_problem(value: Tensor, is_parameter: bool) -> str:
    """Says which values are not finite, or gives an empty string.

    A buffer may hold infinities, as masks do; NaN is an accident wherever it stands.
    """
    if not value.numel() or not (value.is_floating_point() or value.is_complex()):
        return ""
    value = value.detach()
    if value.is_complex():
        value = torch.view_as_real(value.resolve_conj())
    if value.dtype.itemsize == 1:  # there is no arithmetic on eight bits
        value = value.float()
    if has_finite_sum(value):
        return ""
    low, high = (float(bound) for bound in torch.aminmax(value))  # NaN goes through to both
    if math.isnan(low):
        return f"holds NaN ({int(value.isnan().sum()):,} of {value.numel():,} values)"
    if is_parameter and (low == -torch.inf or high == torch.inf):
        return f"holds infinities ({int(value.isinf().sum()):,} of {value.numel():,} values)"
    return ""


def _problem(value: object, is_own: bool) -> str:
    if not isinstance(value, Tensor):
        return f"is {type(value).__name__}, which no tensor file holds; keep it in a buffer"
    if not is_own:
        return (
            "is neither parameter nor buffer, but made by a hook or get_extra_state, so it could "
            "not be given back; keep it in a buffer"
        )
    return _problem_of_kind(value)


def _problem_of_kind(value: Tensor) -> str:
    if value.is_meta:
        return "is on the meta device and has no values"
    if type(value.data) is not Tensor:
        return f"is a {type(value.data).__name__}, which no tensor file holds; gather it first"
    if value.layout is not torch.strided or value.is_quantized:
        return f"is {'quantised' if value.is_quantized else 'sparse'}; make it dense first"
    strides = value.stride()
    if 0 in strides and any(n > 1 and s == 0 for n, s in zip(value.shape, strides, strict=True)):
        return "is expanded, so that it cannot be written to when loaded; call .contiguous() on it"
    if value.dtype not in NAMES:
        return f"is of type {value.dtype}, which safetensors does not have; convert it first"
    return ""
