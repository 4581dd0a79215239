"""The heads that come with fusionkit, offered through the same door as anybody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import cast, final

from fusionkit import FusionHead, hookimpl
from fusionkit.heads import maps, products, scores, tokens, vectors, wrapping

__all__ = ["fusionkit_heads"]

ROOMS = (scores, vectors, products, maps, tokens, wrapping)

HOMES = dict(sorted(home for room in ROOMS for home in room.HEADS.items()))
"""Where each head is, by name."""


@hookimpl
def fusionkit_heads() -> Mapping[str, Callable[..., FusionHead]]:
    """Gives the built-in heads by name; a head's module is imported when it is looked up."""
    return _LazyHeads()


@final
class _LazyHeads(Mapping[str, Callable[..., FusionHead]]):
    def __getitem__(self, name: str) -> Callable[..., FusionHead]:
        module, _, factory = HOMES[name].partition(":")
        return cast("Callable[..., FusionHead]", getattr(import_module(module), factory))

    def __iter__(self) -> Iterator[str]:
        return iter(HOMES)

    def __len__(self) -> int:
        return len(HOMES)
