"""Keeps a few processes at work until nothing is left to do."""

from __future__ import annotations

import gc
import selectors
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

from fusionkit.testing.sweep.worker import End, Worker

__all__ = ["work_through"]

TICK = 0.05

T = TypeVar("T")


def work_through(
    orders: Iterable[T],
    begin: Callable[[T], Worker],
    ended: Callable[[T, End], T | None],
    jobs: int,
) -> None:
    """Does all orders, each in a process of its own.

    Args:
        orders: what to do, in this order.
        begin: starts the process for one.
        ended: is told how it ended, and gives what to do next in its place, if anything.
        jobs: how many processes at a time.
    """
    pending = deque(orders)
    busy: dict[int, tuple[T, Worker]] = {}
    gc.collect()
    gc.freeze()  # or each process would copy what the collector marks
    with selectors.DefaultSelector() as selector:
        try:
            while pending or busy:
                while pending and len(busy) < jobs:
                    order = pending.popleft()
                    worker = begin(order)
                    selector.register(worker.pipe, selectors.EVENT_READ)
                    busy[worker.pipe] = (order, worker)
                for key, _ in selector.select(TICK):
                    order, worker = busy[key.fd]
                    if worker.hear():
                        continue
                    selector.unregister(key.fd)
                    del busy[key.fd]
                    again = ended(order, worker.end())
                    if again is not None:
                        pending.appendleft(again)
                for _, worker in busy.values():
                    worker.hold_to_limits()
        finally:
            for _, worker in busy.values():
                worker.kill()
            gc.unfreeze()
