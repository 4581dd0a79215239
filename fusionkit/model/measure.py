"""Measures what a backbone does not declare, by running it once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from fusionkit.backbone.contract import Backbone
from fusionkit.backbone.depth import Stage
from fusionkit.errors import AssemblyError
from fusionkit.features import Features, Reads
from fusionkit.model.anatomy import trunk_of

__all__ = ["measure_stages", "unread_parameters"]


def measure_stages(backbone: Backbone) -> tuple[Stage, ...]:
    """Gives stages in the order in which the trunk's children first run.

    Each child is a stage, and its own children are the blocks. Parameters that stand beside the
    children, such as a class token, go with the first stage.

    Raises:
        AssemblyError: some parameter's module did not run, so that its depth is unknown.
    """
    trunk = trunk_of(backbone)
    order = _first_runs(backbone, trunk)
    missed = [
        name
        for name, _ in trunk.named_parameters()
        if "." in name and name.rpartition(".")[0] not in order
    ]
    if missed:
        raise AssemblyError(
            f"the depth of {missed[0]!r} is unknown: its module did not run in a forward pass; "
            "declare `stages`"
        )
    prefix = _common_container(trunk, order)
    children: dict[str, None] = {}
    for path in order:
        children.setdefault(_child(path, prefix), None)
    beside = [
        name
        for name, _ in trunk.named_parameters()
        if _child(name, prefix) not in children and name.rpartition(".")[0] not in children
    ]
    stages: list[Stage] = []
    for path in children:
        module = trunk.get_submodule(path)
        blocks: list[str | tuple[str, ...]] = [(path,)]
        if isinstance(module, (nn.Sequential, nn.ModuleList)):
            blocks = [(f"{path}.{name}",) for name, child in module.named_children()]
            blocks = [block for block in blocks if any(_has_parameters(trunk, block))]
        if not stages:
            blocks[0] = (*blocks[0], *beside)
        stages.append(Stage(path.replace("/", "_"), *blocks))
    return tuple(stages)


def unread_parameters(backbone: Backbone, reads: Reads) -> frozenset[str]:
    """Gives the trunk's parameters that what is read does not depend on.

    Such parameters get no gradient: those behind the last map that is read. The pass runs on
    the meta device, where it computes nothing, and changes nothing.
    """
    trunk = trunk_of(backbone)
    prefix = f"{backbone.trunk_path}." if backbone.trunk_path else ""
    state: dict[str, Tensor] = {
        name: value.detach().to("meta").requires_grad_(value.is_floating_point())
        for name, value in backbone.named_parameters()
    }
    state |= {name: value.to("meta") for name, value in backbone.named_buffers()}
    example = pytree.tree_map_only(Tensor, lambda value: value.to("meta"), backbone.example())
    was_training = backbone.training
    backbone.eval()
    try:
        with torch.enable_grad():
            features: Features = torch.func.functional_call(backbone, state, (example, reads))
            outputs = [value.sum() for value in _read(features, reads)]
            names = [prefix + name for name, _ in trunk.named_parameters()]
            leaves = [state[name] for name in names]
            gradients = torch.autograd.grad(sum(outputs), leaves, allow_unused=True)
    finally:
        backbone.train()  # both ways, for trunks that cache in eval mode
        backbone.train(was_training)
    unread = (name for name, gradient in zip(names, gradients, strict=True) if gradient is None)
    return frozenset(name.removeprefix(prefix) for name in unread)


def _read(features: Features, reads: Reads) -> list[Tensor]:
    """Gives the tensors that a head reads of what a backbone gave."""
    read = list(features.maps)
    read += [features.vector] if reads.vector and features.vector is not None else []
    read += [features.logits] if reads.logits and features.logits is not None else []
    return read


def _first_runs(backbone: Backbone, trunk: nn.Module) -> list[str]:
    """Gives the paths of the modules that hold parameters, in the order of their first run."""
    order: dict[str, None] = {}
    handles = []

    def record(path: str) -> Any:
        def hook(module: nn.Module, inputs: Any) -> None:
            order.setdefault(path, None)

        return hook

    for path, module in trunk.named_modules():
        if path and next(module.parameters(recurse=False), None) is not None:
            handles.append(module.register_forward_pre_hook(record(path)))
    was_training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            reads = Reads(vector=True, logits=backbone.num_classes is not None)
            backbone(backbone.example(1), reads.resolve(len(backbone.levels)))
    finally:
        for handle in handles:
            handle.remove()
        backbone.train()
        backbone.train(was_training)
    return list(order)


def _common_container(trunk: nn.Module, order: list[str]) -> str:
    """Gives the path of the deepest container that holds all that ran, so that it has parts."""
    prefix = ""
    while True:
        children = {_child(path, prefix) for path in order}
        if len(children) != 1:
            return prefix
        only = next(iter(children))
        if only in order or not list(trunk.get_submodule(only).children()):
            return prefix
        prefix = only


def _child(path: str, prefix: str) -> str:
    """Gives the path of the child of ``prefix`` that ``path`` is in."""
    rest = path[len(prefix) :].lstrip(".") if prefix else path
    return f"{prefix}.{rest.split('.')[0]}" if prefix else rest.split(".")[0]


def _has_parameters(trunk: nn.Module, block: str | tuple[str, ...]) -> list[bool]:
    paths = (block,) if isinstance(block, str) else block
    return [next(trunk.get_submodule(path).parameters(), None) is not None for path in paths]
