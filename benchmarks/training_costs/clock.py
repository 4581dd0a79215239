"""Runs ways of doing the same alternately, and keeps what each took."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Cost", "alternate", "cpu_seconds", "middle", "run_epoch"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of one way took.

    Attributes:
        cpu: seconds of all cores, of this process and of the workers that it waited for.
        wall: seconds that passed.
        parts: CPU seconds of some of it, by name.
    """

    cpu: float
    wall: float
    parts: Mapping[str, float] = field(default_factory=dict)


def cpu_seconds() -> float:
    """Gives the CPU time so far, of this process and of its children that have ended."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def alternate(
    ways: Mapping[str, Callable[[], Mapping[str, float] | None]], rounds: int
) -> dict[str, list[Cost]]:
    """Runs each way once in each round, every second round in the other order.

    Args:
        ways: by title; each may give the CPU seconds of its parts.
        rounds: how many costs there are of each way.
    """
    found: dict[str, list[Cost]] = {title: [] for title in ways}
    for turn in range(rounds):
        for title in list(ways) if turn % 2 == 0 else reversed(ways):
            cpu, wall = cpu_seconds(), time.perf_counter()
            parts = ways[title]() or {}
            found[title].append(Cost(cpu_seconds() - cpu, time.perf_counter() - wall, parts))
    return found


def middle(costs: Iterable[Cost], part: str | None = None) -> float:
    """Gives the median of the CPU seconds, of all of it or of one part."""
    return statistics.median(cost.cpu if part is None else cost.parts[part] for cost in costs)


def run_epoch(batches: Iterable[object], step: Callable[..., object]) -> dict[str, float]:
    """Goes through batches, and tells the time until each was there from that of its step."""
    waited = stepped = 0.0
    ready = iter(batches)
    while True:
        start = cpu_seconds()
        batch = next(ready, None)
        there = cpu_seconds()
        waited += there - start
        if batch is None:
            return {"data": waited, "model": stepped}
        step(batch)
        stepped += cpu_seconds() - there
