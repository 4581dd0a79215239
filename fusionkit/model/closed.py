"""Which blocks of a backbone run by themselves, so that their parameters can come and go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from fusionkit.backbone.contract import Backbone
from fusionkit.features import Reads
from fusionkit.model.anatomy import trunk_of
from fusionkit.model.measure import on_twin

__all__ = ["closed_blocks"]


def closed_blocks(backbone: Backbone, reads: Reads) -> tuple[str, ...]:
    """Gives the paths in the trunk of the blocks whose parameters are read only in their calls.

    Such a block is one module that has parameters, shares none of them with others, is called,
    and is the only one that reads them: what gathers its parameters when it is called and lets
    go of them after it is safe. The backbone itself is not touched: a twin of it runs.

    Args:
        backbone: declares its stages.
        reads: what is asked of it.

    Raises:
        AssemblyError: the backbone fails on its own example.
    """
    candidates = _candidates(backbone)

    def ask(twin: Backbone, example: Any) -> frozenset[str]:
        trunk = trunk_of(twin.float())  # as the example is, whatever the model was cast to
        blocks = {path: trunk.get_submodule(path) for path in candidates}
        with torch.no_grad(), _Watch(blocks) as watch:
            twin(example, reads)
        return frozenset(watch.called - watch.broken)

    closed = on_twin(backbone, ask, batch=2) if candidates else frozenset()
    return tuple(path for path in candidates if path in closed)


def _candidates(backbone: Backbone) -> list[str]:
    """Gives the blocks that are one module, with parameters that nobody else has."""
    trunk = trunk_of(backbone)
    modules = dict(trunk.named_modules(remove_duplicate=False))
    places = [id(module) for module in modules.values()]
    homes: dict[int, list[str]] = {}
    for name, parameter in trunk.named_parameters(remove_duplicate=False):
        homes.setdefault(id(parameter), []).append(name)
    found = []
    for path in (
        block[0] for stage in backbone.stages for block in stage.blocks if len(block) == 1
    ):
        if not path or path not in modules or places.count(id(modules[path])) > 1:
            continue
        own = [id(parameter) for parameter in modules[path].parameters()]
        if own and all(name.startswith(f"{path}.") for each in own for name in homes[each]):
            found.append(path)
    return found


class _Watch(TorchFunctionMode):
    """Notes which blocks are called, and whose parameters are read while they are not."""

    def __init__(self, blocks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.called: set[str] = set()
        self.broken: set[str] = set()
        self._running: list[str] = []
        self._owner = {
            id(parameter): path
            for path, block in blocks.items()
            for parameter in block.parameters()
        }
        for path, block in blocks.items():
            block.register_forward_pre_hook(self._enter(path))
            block.register_forward_hook(self._leave)

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") != "__get__":  # of an attribute, such as a shape
            for value in pytree.tree_leaves((args, kwargs)):
                path = self._owner.get(id(value))
                if path is not None and path not in self._running:
                    self.broken.add(path)
        return func(*args, **kwargs)

    def _enter(self, path: str) -> Any:
        def hook(_: nn.Module, arguments: tuple[Any, ...]) -> None:
            self.called.add(path)
            self._running.append(path)

        return hook

    def _leave(self, *_: Any) -> None:
        self._running.pop()
