"""Listens to the modules of a branch, to tell whether frozen stages compute the same again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from fusionkit.testing.backbones.learning.places import Place

__all__ = ["Heard", "listen", "strange"]

Heard: TypeAlias = dict[tuple[str, int], tuple[str, ...]]
"""What went in and out, by the module's path and the event's number there."""


@contextmanager
def listen(places: Iterable[Place], awake: frozenset[int]) -> Iterator[Heard]:
    """Takes down what goes into and out of frozen modules, until the first that learns is reached.

    What goes into that one is taken down as well. Later modules read what learns, and may differ.
    """
    heard: Heard = {}
    counts: dict[str, int] = {}
    over: list[str] = []

    def take(path: str, *values: Any) -> None:
        key = (path, counts.setdefault(path, 0))
        counts[path] += 1
        heard[key] = tuple(
            _print(value) for value in pytree.tree_leaves(values) if isinstance(value, Tensor)
        )

    def before(place: Place) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            if over:
                return
            take(place.path, args, kwargs)
            if not place.is_frozen(awake):
                over.append(place.path)

        return hook

    def after(place: Place) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if not over:
                take(place.path, output)

        return hook

    handles = []
    for place in places:
        if len(place.stages) == 1:
            handles.append(place.module.register_forward_pre_hook(before(place), with_kwargs=True))
            handles.append(place.module.register_forward_hook(after(place), with_kwargs=True))
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def strange(reference: Heard, heard: Heard) -> list[str]:
    """Gives the paths at which something else was heard than before, or nothing, or more."""
    return list(
        dict.fromkeys(
            path for (path, at), what in heard.items() if reference.get((path, at)) != what
        )
    )


def _print(value: Tensor) -> str:
    """Gives a short text that hardly any other tensor has."""
    told = value.detach()
    shape = tuple(told.shape)
    if told.is_sparse or told.is_quantized or not told.numel():
        return str(shape)
    if told.is_complex():
        told = torch.view_as_real(told)
    kind = torch.float64 if told.is_floating_point() else torch.int64
    return f"{shape} {told.sum(dtype=kind).item()!r} {told.max().item()!r}"
