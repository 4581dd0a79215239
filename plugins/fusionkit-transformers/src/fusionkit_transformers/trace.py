"""Watches a model run once: when each parameter is read, when each module runs, what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from fusionkit_transformers.quiet import quiet

__all__ = ["REFUSALS", "Run", "Trace", "trace_run", "unread_parameters"]

REFUSALS = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(NotImplementedError, RuntimeError, TypeError, ValueError),
)


@dataclass(frozen=True, slots=True)
class Run:
    """When a module ran, in counted calls, and the shape of what it gave.

    Attributes:
        start: the call before which it began.
        end: the last call in it.
        shape: of its output, or of the first part of that; empty where that is no tensor.
    """

    start: int
    end: int
    shape: tuple[int, ...]


@dataclass(slots=True)
class Trace:
    """What one run of a model showed.

    Attributes:
        output: of the model.
        first_use: when each parameter was first read, by its name; unread ones are missing.
        runs: the last run of each module, by its path; its start is that of the first run.
        parameters: what stood for each parameter, by its name; the output's graph ends there.
    """

    output: Any
    parameters: dict[str, Tensor] = field(default_factory=dict)
    first_use: dict[str, int] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)


def trace_run(model: nn.Module, call: Callable[[Any], Any], inputs: Mapping[str, Tensor]) -> Trace:
    """Gives the trace of one run in eval mode, on the meta device where the model can run there.

    The model and the random state stay as they were.

    Args:
        model: what is watched.
        call: runs it on the inputs; what it gives is the trace's ``output``.
        inputs: tensors by name.

    Raises:
        Exception: what the model raises on the CPU.
    """
    was = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.enable_grad(), torch.random.fork_rng(devices=()), quiet():
            try:
                return _run_on("meta", model, call, inputs)
            except REFUSALS as error:
                if "meta" not in str(error):
                    raise
            if any(value.is_meta for value in model.state_dict().values()):
                with torch.device("cpu"):
                    return _run_on("cpu", model, call, inputs)
            trace = _watch(model, call, inputs)
            trace.parameters = dict(model.named_parameters())
            return trace
    finally:
        model.train()  # which also drops what some models keep in eval mode
        for module, training in was:
            module.training = training


def _run_on(
    device: str, model: nn.Module, call: Callable[[Any], Any], inputs: Mapping[str, Tensor]
) -> Trace:
    """Gives the trace of one run elsewhere, with zeros for all values that take no memory."""
    state = {
        name: _zeros(value, device).requires_grad_(isinstance(value, nn.Parameter))
        for named in (model.named_parameters(), model.named_buffers())
        for name, value in named
    }
    with _swapped(model, state):
        zeros = {name: torch.zeros_like(each, device=device) for name, each in inputs.items()}
        trace = _watch(model, call, zeros)
        trace.parameters = {name: state[name] for name, _ in model.named_parameters()}
    return trace


def _zeros(value: Tensor, device: str) -> Tensor:
    """Gives one zero in the shape of a tensor."""
    return torch.zeros((), dtype=value.dtype, device=device).expand(value.shape)


def unread_parameters(trace: Trace, outputs: Iterable[Tensor]) -> frozenset[str]:
    """Gives the parameters that some outputs of a trace do not depend on, such as a mask token."""
    reached: set[int] = set()
    seen: set[Any] = set()
    waiting: list[Any] = [output.grad_fn for output in outputs]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        reached.add(id(getattr(node, "variable", None)))
        waiting.extend(following for following, _ in node.next_functions)
    return frozenset(name for name, value in trace.parameters.items() if id(value) not in reached)


def _swapped(model: nn.Module, state: Mapping[str, Tensor]) -> Any:
    from torch.nn.utils.stateless import _reparametrize_module

    return _reparametrize_module(model, dict(state), tie_weights=True)


class _Reader(TorchFunctionMode):
    """Notes when each parameter is first an argument of a torch function."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.names: dict[int, str] = {}
        for name, value in _parameters(model):
            self.names.setdefault(id(value), name)  # of tied ones the first, as torch names them
        self.first_use: dict[str, int] = {}
        self.calls = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Passes every call on, after a look at its arguments."""
        if getattr(func, "__name__", "") != "__get__":  # a look at a shape reads no values
            self.calls += 1
            for value in pytree.arg_tree_leaves(*args, **(kwargs or {})):
                name = self.names.get(id(value))
                if name is not None:
                    self.first_use.setdefault(name, self.calls)
        return func(*args, **(kwargs or {}))


def _parameters(model: nn.Module) -> list[tuple[str, Any]]:
    """Gives what now stands where parameters are, which may be plain tensors."""
    return [
        (f"{path}.{leaf}" if path else leaf, getattr(module, leaf))
        for path, module in model.named_modules()
        for leaf in module._parameters
        if getattr(module, leaf, None) is not None
    ]


def _watch(model: nn.Module, call: Callable[[Any], Any], inputs: Mapping[str, Tensor]) -> Trace:
    reader = _Reader(model)
    starts: dict[str, int] = {}
    runs: dict[str, Run] = {}
    handles = []
    for path, module in model.named_modules():

        def begin(_module: Any, _args: Any, path: str = path) -> None:
            starts.setdefault(path, reader.calls)

        def finish(_module: Any, _args: Any, output: Any, path: str = path) -> None:
            runs[path] = Run(starts[path], reader.calls, _shape(output))

        handles.append(module.register_forward_pre_hook(begin))
        handles.append(module.register_forward_hook(finish))
    try:
        with reader:
            output = call(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return Trace(output, first_use=reader.first_use, runs=runs)


def _shape(output: Any) -> tuple[int, ...]:
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    elif isinstance(output, Mapping):
        output = next((each for each in output.values() if isinstance(each, Tensor)), None)
    return tuple(output.shape) if isinstance(output, Tensor) else ()
