"""What all processes have to decide alike: metrics, thaws, numbers of batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from fusionkit.errors import DistributedError
from fusionkit.numbers import is_number
from fusionkit.processes import tell_all

__all__ = ["agree", "same_everywhere"]

T = TypeVar("T")


def agree(metrics: Mapping[str, Any], weight: float = 1.0) -> dict[str, float]:
    """Gives the mean of each metric over all processes: the same bits on each of them.

    Each process has seen other samples, so that a branch that thaws on a plateau would thaw at
    other epochs on each. All processes call this before they decide::

        unfreezing.end_epoch(epoch, agree({"val_loss": loss}, weight=samples))

    Args:
        metrics: by name, numbers or tensors of one value; the same names on all processes.
        weight: how much this process's values count, for example its number of samples.

    Raises:
        DistributedError: names or numbers are not what they have to be, on the rank that is named.
    """
    told = tell_all((_numbers(metrics), weight if is_number(weight) else math.nan))
    for rank, (values, share) in enumerate(told):
        if isinstance(values, str):
            raise DistributedError(f"agree: rank {rank} {values}")
        if values.keys() != told[0][0].keys():
            raise DistributedError(
                f"agree: rank {rank} told the metrics {sorted(values)}, rank 0 "
                f"{sorted(told[0][0])}; all processes tell the same"
            )
        if not 0 <= share < math.inf:
            raise DistributedError(
                f"agree: weight is a number, zero or positive, and was not on rank {rank}"
            )
    total = math.fsum(share for _, share in told)
    if not total:
        raise DistributedError("agree: the weights of all processes are 0")
    return {
        name: math.fsum(values[name] * share for values, share in told if share) / total
        for name in told[0][0]
    }


def same_everywhere(value: T, what: str) -> T:
    """Gives the value back, after making sure that all processes have the same.

    Args:
        value: plain data that compares with ``==``, such as ``len(loader)`` or the branches
            that ``Unfreezing.end_epoch`` gave.
        what: its name, for the error: "the number of batches".

    Raises:
        DistributedError: names the first rank with another value than rank 0, and both values.
    """
    told = tell_all(value)
    for rank, each in enumerate(told):
        if each != told[0]:
            raise DistributedError(
                f"{what} differs between processes: rank {rank} has {each!r:.200}, rank 0 has "
                f"{told[0]!r:.200}; they would wait for each other or drift apart"
            )
    return value


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float] | str:
    """Gives the metrics as numbers, or says what is wrong with one."""
    values = {}
    for name, value in metrics.items():
        try:
            values[name] = float(value)
        except (TypeError, ValueError, RuntimeError):
            return f"has {name!r:.80} = {value!r:.80}, which is no number"
    return values
