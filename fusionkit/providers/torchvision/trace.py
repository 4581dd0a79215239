"""Runs a trunk on the meta device, where it computes nothing, to see what comes out where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.providers.torchvision.families import Family

__all__ = ["Output", "expand_chain", "trace_chain"]


@dataclass(frozen=True, slots=True)
class Output:
    """What one module of the chain gives.

    Attributes:
        path: the module, by its path in the trunk.
        channels: the width of its output.
        stride: input pixels per pixel of its output, in height.
        grid: frames (for videos), height and width, by the letters of an einops pattern.
    """

    path: str
    channels: int
    stride: int
    grid: tuple[tuple[str, int], ...]


def expand_chain(trunk: nn.Module, family: Family) -> tuple[str, ...]:
    """Gives the paths of the chain, with each ``x.*`` replaced by the children of ``x``."""
    paths: list[str] = []
    for pattern in family.chain:
        parent, star, _ = pattern.partition(".*")
        if star:
            children = trunk.get_submodule(parent).named_children()
            paths += [f"{parent}.{name}" for name, _ in children]
        else:
            paths.append(pattern)
    return tuple(paths)


def trace_chain(trunk: nn.Module, family: Family, shape: tuple[int, ...]) -> tuple[Output, ...]:
    """Gives what each module of the chain puts out for an input of ``shape``.

    Parameters, buffers and random states stay as they are.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    grids: dict[str, tuple[int, ...]] = {}
    last_grid: list[tuple[int, ...]] = [()]

    def note(path: str, output: Any) -> None:
        if isinstance(output, tuple):  # tokens, and how many there are along each axis
            output, last_grid[0] = output[0], tuple(output[1])
        tensor: Tensor = output
        shapes[path] = tuple(tensor.shape)
        if family.layout == "tokens":
            if tensor.ndim > 3:
                last_grid[0] = tuple(tensor.shape[2:])
            grids[path] = last_grid[0]
        elif family.layout == "channels last":
            grids[path] = tuple(tensor.shape[1:-1])
        else:
            grids[path] = tuple(tensor.shape[2:])

    chain = expand_chain(trunk, family)
    watched = (*chain, "conv_proj") if family.layout == "tokens" else chain
    handles = [
        trunk.get_submodule(path).register_forward_hook(
            lambda _module, _args, output, path=path: note(path, output)
        )
        for path in watched
    ]
    was_training = trunk.training
    state = {
        name: value.detach().to("meta")
        for named in (trunk.named_parameters(), trunk.named_buffers())
        for name, value in named
    }
    try:
        trunk.eval()
        with torch.no_grad():
            torch.func.functional_call(trunk, state, (torch.empty(shape, device="meta"),))
    finally:
        for handle in handles:
            handle.remove()
        trunk.train(was_training)
    return tuple(_describe(path, family, shapes[path], grids[path], shape[-2]) for path in chain)


def _describe(
    path: str, family: Family, shape: tuple[int, ...], grid: tuple[int, ...], height: int
) -> Output:
    channels = shape[1] if family.layout == "channels first" else shape[-1]
    axes = "thw"[-len(grid) :]
    patches = family.layout == "tokens" and height % grid[-2] == 0
    stride = height // grid[-2] if patches else _nearest_power(height / grid[-2])
    return Output(path, channels, stride, tuple(zip(axes, grid, strict=True)))


def _nearest_power(ratio: float) -> int:
    """Gives the product of the strides, from which borders without padding take some rows."""
    return min((1, 2, 4, 8, 16, 32, 64), key=lambda stride: abs(stride / ratio - 1))
