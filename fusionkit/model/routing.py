"""Hands each branch its input, and says what is missing, too much, or of the wrong size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from fusionkit.errors import AssemblyError, DataError, did_you_mean
from fusionkit.features import Features, Reads

__all__ = ["check_features", "route"]


def route(inputs: Any, sources: Mapping[str, str]) -> dict[str, Any]:
    """Gives each branch's input by branch.

    Args:
        inputs: what the model was called with: one input, where all branches read the same, or
            a mapping by input name; a branch prepared on its own is given by its own name.
        sources: the input name of each branch.

    Raises:
        DataError: an input is missing or is nobody's, or the batches differ in length.
    """
    if not isinstance(inputs, Mapping):
        names = sorted(set(sources.values()))
        if len(names) > 1:
            example = ", ".join(f"{name!r}: ..." for name in names)
            raise DataError(
                f"the model reads {len(names)} inputs: call model({{{example}}}) with one for each"
            )
        return dict.fromkeys(sources, inputs)
    routed: dict[str, Any] = {}
    used: set[str] = set()
    for branch, source in sources.items():
        key = branch if branch in inputs else source
        if key not in inputs:
            given = ", ".join(map(repr, inputs)) or "nothing"
            raise DataError(f"branch {branch!r} reads the input {source!r}, but got {given}")
        routed[branch] = inputs[key]
        used.add(key)
    if len(used) != len(inputs):
        extra = next(name for name in inputs if name not in used)
        known = set(sources.values()) | set(sources)
        raise DataError(
            f"no branch reads the input {extra!r}.{did_you_mean(str(extra), known)} "
            f"The inputs are {', '.join(sorted(set(sources.values())))}"
        )
    _check_batches(routed)
    return routed


def _check_batches(routed: Mapping[str, Any]) -> None:
    first: tuple[str, int] | None = None
    for branch, value in routed.items():
        if isinstance(value, Tensor) and value.ndim:
            if first is None:
                first = branch, value.shape[0]
            elif value.shape[0] != first[1]:
                raise DataError(
                    f"branch {branch!r} got a batch of {value.shape[0]}, "
                    f"but branch {first[0]!r} one of {first[1]}"
                )


def check_features(
    branch: str, features: Features, reads: Reads, embed_dim: int, channels: tuple[int, ...]
) -> None:
    """Refuses features that are not what the backbone declared.

    Args:
        branch: whose they are.
        features: what its forward pass gave.
        reads: what was asked for.
        embed_dim: the width d that it declares for "b d".
        channels: the widths that it declares for the maps asked for.
    """
    if not isinstance(features, Features):
        raise AssemblyError(
            f"the backbone of branch {branch!r} gave {type(features).__name__}; its forward must "
            "give fusionkit.Features"
        )
    if reads.vector:
        vector = features.vector
        if vector is None or vector.ndim != 2 or vector.shape[1] != embed_dim:
            got = None if vector is None else tuple(vector.shape)
            raise AssemblyError(
                f"the backbone of branch {branch!r} declares a vector 'b {embed_dim}', gave {got}"
            )
    if channels:
        widths = tuple(value.shape[1] for value in features.maps if value.ndim == 4)
        if widths != channels:
            raise AssemblyError(
                f"the backbone of branch {branch!r} declares maps of {channels} channels, gave "
                f"{[tuple(value.shape) for value in features.maps]}"
            )
    if reads.logits and (features.logits is None or features.logits.ndim != 2):
        raise AssemblyError(f"the backbone of branch {branch!r} gave no logits 'b k'")
