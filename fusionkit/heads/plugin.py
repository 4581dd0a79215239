"""The heads that come with fusionkit, offered through the same door as anybody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import cast, final

from fusionkit import FusionHead, hookimpl

__all__ = ["fusionkit_heads"]

HOMES = {
    "concat": "fusionkit.heads.concat:Concat",
    "mean_log_probabilities": "fusionkit.heads.ensemble:MeanLogProbabilities",
    "mean_logits": "fusionkit.heads.ensemble:MeanLogits",
    "mean_probabilities": "fusionkit.heads.ensemble:MeanProbabilities",
    "two_stream": "fusionkit.heads.two_stream:TwoStream",
    "two_stream_maps": "fusionkit.heads.two_stream_maps:TwoStreamMaps",
}


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
