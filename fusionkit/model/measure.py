"""Measures what a backbone does not declare, by running it once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils import _pytree as pytree

from fusionkit.backbone.contract import Backbone
from fusionkit.backbone.depth import Stage
from fusionkit.errors import AssemblyError
from fusionkit.features import Features, Reads
from fusionkit.model.anatomy import trunk_of
from fusionkit.model.run import check_features
from fusionkit.model.sketch import Sketch
from fusionkit.model.twin import copy_without_data

__all__ = ["measure_stages", "on_twin", "unread_parameters"]

Result = TypeVar("Result")

CRASHES = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(RuntimeError, TypeError, ValueError),
)


def measure_stages(backbone: Backbone) -> tuple[Stage, ...]:
    """Gives stages in the order in which the trunk's children first run.

    Each child is a stage, and its own children are the blocks. Parameters that stand beside the
    children, such as a class token, go with the first stage. The backbone itself is not touched:
    a twin of it runs, with a batch of one.

    Raises:
        AssemblyError: some parameter's module did not run, so that its depth is unknown.
    """
    order = on_twin(backbone, _first_runs, batch=1)
    trunk = trunk_of(backbone)
    names = [name for name, _ in trunk.named_parameters()]
    prefix = _common_container(trunk, [path for path in order if _has_parameters(trunk, path)])
    ran = list(dict.fromkeys(_child(path, prefix) for path in order if _is_in(path, prefix)))
    children = [path for path in ran if _has_parameters(trunk, path)]
    beside = []
    for name in names:
        owner = name.rpartition(".")[0]
        if _is_in(name, prefix) and _child(name, prefix) in children:
            continue
        if owner != prefix and not _is_in(prefix, owner):
            raise AssemblyError(
                f"the depth of {name!r} is unknown: its module did not run in a forward pass; "
                "declare `stages`"
            )
        beside.append(name)
    if not children:
        return (Stage("all", tuple(names)),) if names else ()
    stages: list[Stage] = []
    for path in children:
        blocks = _blocks(trunk, path)
        if not stages:
            blocks[0] = (*blocks[0], *beside)
        follows = ran[ran.index(path) + 1 :]
        for other in follows[: next((i for i, p in enumerate(follows) if p in children), None)]:
            blocks[-1] = (*blocks[-1], other)
        stages.append(Stage(path.replace("/", "_"), *blocks))
    return tuple(stages)


def unread_parameters(backbone: Backbone, reads: Reads) -> frozenset[str]:
    """Gives the trunk's parameters that what is read does not depend on.

    Such parameters get no gradient: those behind the last map that is read, a classifier that
    nobody asks, a mask token. The backbone itself is not touched: a twin of it runs.

    Raises:
        AssemblyError: the backbone fails on its own example, or gives what it does not declare.
    """

    def ask(twin: Backbone, example: Any) -> frozenset[str]:
        parameters = dict(trunk_of(twin).named_parameters())
        for value in parameters.values():
            value.requires_grad_(value.is_floating_point())
        with Sketch(), saved_tensors_hooks(lambda value: None, _never):
            features = twin(example, reads)
        channels = tuple(twin.levels[level].channels for level in reads.levels)
        check_features("its forward pass", twin, features, reads, channels)
        reached = _reached(_read(features, reads))
        return frozenset(name for name, value in parameters.items() if id(value) not in reached)

    return on_twin(backbone, ask, batch=2)


def _never(_: Any) -> Tensor:
    """Gives back what autograd kept for a backward pass: nothing was kept, and none follows."""
    raise AssertionError("a measured backbone ran backwards")


def on_twin(backbone: Backbone, ask: Callable[[Backbone, Any], Result], batch: int) -> Result:
    """Asks a twin in eval mode, on the meta device if it can run there, and a real one if not.

    The meta device computes nothing and holds no data. Neither twin leaves a trace in the
    backbone (tables kept in eval mode, say) or in the random state.
    """
    failure: Exception | None = None
    with torch.random.fork_rng(devices=()), torch.enable_grad():
        for twin_of in (_meta_twin, _real_twin):
            try:
                return ask(*twin_of(backbone, batch))
            except CRASHES as error:
                failure = error
    raise AssemblyError(
        "it cannot be measured, since it fails on its own example: "
        f"{type(failure).__name__}: {failure}"
    ) from failure


def _meta_twin(backbone: Backbone, batch: int) -> tuple[Backbone, Any]:
    """Gives a copy whose parameters and buffers have shapes and types, but no data."""
    example = pytree.tree_map_only(Tensor, lambda value: value.to("meta"), backbone.example(batch))
    twin = copy_without_data(backbone)
    twin.eval()
    return twin, example


def _real_twin(backbone: Backbone, batch: int) -> tuple[Backbone, Any]:
    twin = deepcopy(backbone)
    twin.eval()
    return twin, backbone.example(batch)


def _read(features: Features, reads: Reads) -> list[Tensor]:
    """Gives the tensors that a head reads of what a backbone gave."""
    read = list(features.maps)
    read += [features.vector] if reads.vector and features.vector is not None else []
    read += [features.logits] if reads.logits and features.logits is not None else []
    return read


def _reached(outputs: Iterable[Tensor]) -> set[int]:
    """Gives the ids of the leaves that outputs depend on, by walking autograd's graph."""
    leaves: set[int] = set()
    seen: set[object] = set()
    waiting: list[Any] = [output.grad_fn for output in outputs]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.add(id(node.variable))
        waiting.extend(following for following, _ in node.next_functions)
    return leaves


def _first_runs(backbone: Backbone, example: Any) -> list[str]:
    """Gives the paths of the trunk's modules in the order of their first run."""
    order: dict[str, None] = {}

    def record(path: str) -> Any:
        def hook(module: nn.Module, inputs: Any) -> None:
            order.setdefault(path, None)

        return hook

    for path, module in trunk_of(backbone).named_modules():
        if path:
            module.register_forward_pre_hook(record(path))
    reads = Reads(vector=True, logits=backbone.num_classes is not None)
    with torch.no_grad():
        backbone(example, reads.resolve(len(backbone.levels)))
    return list(order)


def _common_container(trunk: nn.Module, paths: Iterable[str]) -> str:
    """Gives the path of the deepest module that holds all that ran, so that it has parts."""
    prefix = ""
    while True:
        inside = {path for path in paths if _is_in(path, prefix)}
        children = {_child(path, prefix) for path in inside}
        if len(children) != 1:
            return prefix
        only = next(iter(children))
        if not any(_is_in(path, only) for path in inside):
            return prefix
        prefix = only


def _is_in(path: str, prefix: str) -> bool:
    return not prefix or path.startswith(f"{prefix}.")


def _child(path: str, prefix: str) -> str:
    """Gives the path of the child of ``prefix`` that ``path`` is in."""
    if not prefix:
        return path.partition(".")[0]
    return f"{prefix}.{path[len(prefix) + 1 :].partition('.')[0]}"


def _blocks(trunk: nn.Module, path: str) -> list[tuple[str, ...]]:
    """Gives the blocks of one stage: the members of a container, else the module itself."""
    module = trunk.get_submodule(path)
    members = [f"{path}.{name}" for name, _ in module.named_children()]
    members = [member for member in members if _has_parameters(trunk, member)]
    if not isinstance(module, (nn.Sequential, nn.ModuleList)) or not members:
        return [(path,)]
    blocks: list[tuple[str, ...]] = [(member,) for member in members]
    own = (f"{path}.{name}" for name, _ in module.named_parameters(recurse=False))
    blocks[0] = (*blocks[0], *own)
    return blocks


def _has_parameters(trunk: nn.Module, path: str) -> bool:
    return next(trunk.get_submodule(path).parameters(), None) is not None
