"""Hands each branch its input, and says what is missing or too much."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from fusionkit.errors import DataError, did_you_mean

__all__ = ["route"]


def route(
    inputs: Any, sources: Mapping[str, str], refuse: Callable[[], str] = str
) -> dict[str, Any]:
    """Gives each branch's input by branch; of those that have one, where others may be absent.

    Args:
        inputs: what the model was called with: one input, where all branches read the same, or
            a mapping by input name; a branch prepared on its own is given by its own name.
        sources: the input name of each branch.
        refuse: gives why every branch needs its input, for the error, or nothing if some may be
            absent; asked only when one is.

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
            if not (refusal := refuse()):
                continue
            given = ", ".join(map(repr, inputs)) or "nothing"
            raise DataError(
                f"branch {branch!r} reads the input {source!r} (or {branch!r}, prepared for it "
                f"alone), but got {given}; {refusal}"
            )
        routed[branch] = inputs[key]
        used.add(key)
    if len(used) != len(inputs):
        extra = next(name for name in inputs if name not in used)
        known = set(sources.values()) | set(sources)
        raise DataError(
            f"no branch reads the input {extra!r}.{did_you_mean(str(extra), known)} "
            f"The inputs are {', '.join(sorted(set(sources.values())))}"
        )
    if not routed:
        raise DataError(
            "no branch has an input; some may be absent, but not all: "
            f"{', '.join(sorted(set(sources.values())))}"
        )
    _check_batches(routed)
    return routed


def _check_batches(routed: Mapping[str, Any]) -> None:
    first: tuple[str, int] | None = None
    for branch, value in routed.items():
        length = _length(value)
        if length is None:
            continue
        if first is None:
            first = branch, length
        elif length != first[1]:
            raise DataError(
                f"branch {branch!r} got a batch of {length}, "
                f"but branch {first[0]!r} one of {first[1]}"
            )


def _length(value: Any) -> int | None:
    """Gives the batch dimension of a tensor, or of the first one in a mapping of tensors."""
    if isinstance(value, Mapping):
        value = next((each for each in value.values() if isinstance(each, Tensor)), None)
    return value.shape[0] if isinstance(value, Tensor) and value.ndim else None
