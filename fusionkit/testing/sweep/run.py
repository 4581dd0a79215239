"""Asks many models, a few at a time, and writes down what came of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from fusionkit.catalog import Catalog
from fusionkit.testing.sweep.pool import work_through
from fusionkit.testing.sweep.row import Row
from fusionkit.testing.sweep.worker import End, Worker, start

__all__ = ["Limits", "Told", "run"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one model may use.

    Attributes:
        memory_gib: of memory.
        minutes: of time, in each of the two modes.
    """

    memory_gib: float
    minutes: float


@dataclass(frozen=True, slots=True)
class Told:
    """What came of one model.

    Attributes:
        row: what is kept.
        seconds: that each check took.
    """

    row: Row
    seconds: dict[str, float]


def run(
    wanted: Iterable[Row],
    checks: tuple[str, ...],
    catalog: Catalog,
    *,
    limits: Limits,
    jobs: int,
    told: Callable[[Told], None],
    too_much: str = "",
    shrink: bool = True,
) -> None:
    """Asks all models, each in a process of its own.

    A model that is too large or too slow is asked once more, on the meta device.

    Args:
        wanted: what is known of each row before.
        checks: the names of those to ask.
        catalog: where the models are found; what they need is imported already.
        limits: what each may use.
        jobs: how many processes at a time.
        told: is called with each result.
        too_much: why all are asked on the meta device, if they are.
        shrink: whether to look for the smallest input of each, which takes a second.
    """
    from fusionkit.testing.sweep.examine import Order

    def ended(order: Any, end: End) -> Any:
        if end.limit and not order.too_much:
            short = {end.limit: getattr(limits, end.limit)}
            return replace(order, too_much=end.how, wanted=replace(order.wanted, **short))
        told(_result(order.wanted, order.too_much, end))
        return None

    orders = [Order(row, checks, limits.memory_gib, too_much, shrink) for row in wanted]
    work_through(orders, lambda order: _begin(order, catalog, limits), ended, jobs)


def _begin(order: Any, catalog: Catalog, limits: Limits) -> Worker:
    def task(tell: Callable[[str], None]) -> dict[str, Any]:
        import torch

        from fusionkit.testing.sweep.examine import examine

        torch.set_num_threads(1)
        row, seconds = examine(order, catalog, tell)
        return {"row": asdict(row), "seconds": seconds}

    return start(task, memory_mib=limits.memory_gib * 1024, seconds=limits.minutes * 60)


def _result(wanted: Row, too_much: str, end: End) -> Told:
    row, seconds = replace(wanted, why=too_much, fault=end.how), {}
    if end.answer is not None:
        row, seconds = Row.revive(end.answer["row"]), end.answer["seconds"]
    elif too_much:
        row = replace(row, mode="meta")
    return Told(replace(row, seconds=end.seconds, peak_mib=end.peak_mib), seconds)
