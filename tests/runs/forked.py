"""Runs a function in a process of its own, which may be killed or come upon a full disk."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

needs_fork = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods() or torch.cuda.is_available(),
    reason="processes are forked, which needs a POSIX system and no GPU",
)


def exit_code(function: Callable[..., Any], *arguments: Any) -> int | None:
    """Gives the exit code of a process that does nothing but call a function."""
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forks beside threads
        process.start()
    process.join(60)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError("the process did not end within a minute")
    return process.exitcode


def at_batch(number: int, act: Callable[[], Any]) -> None:
    """Lets each run of this process do something when it begins a batch, counted over the run."""
    from fusionkit.runs.module import FusionModule

    begin = FusionModule.on_train_batch_start

    def begin_and_act(self: Any, batch: Any, batch_idx: int) -> None:
        if self.current_epoch * self.batches_per_epoch + batch_idx == number:
            act()
        begin(self, batch, batch_idx)

    FusionModule.on_train_batch_start = begin_and_act


def signal_self(number: int) -> None:
    os.kill(os.getpid(), number)


KILLED = -signal.SIGKILL


def run_forked(functions: Sequence[Callable[[], Any]]) -> list[Any]:
    """Gives what each function gave in a process of its own, its error, or its exit code."""
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forks beside threads
        ends = [context.Pipe(duplex=False) for _ in functions]
        processes = [
            context.Process(target=_tell, args=(function, inner), daemon=True)
            for function, (_, inner) in zip(functions, ends, strict=True)
        ]
        for process in processes:
            process.start()
    for _, inner in ends:
        inner.close()
    told = []
    for process, (outer, _) in zip(processes, ends, strict=True):
        try:
            there = outer.poll(60)
            told.append(pickle.loads(outer.recv_bytes()) if there else "nothing within a minute")
        except EOFError:
            process.join(10)
            told.append(process.exitcode)
    for process in processes:
        process.kill()
        process.join()
    return told


def _tell(function: Callable[[], Any], end: Any) -> None:
    try:
        told = function()
    except Exception as error:
        told = error
    end.send_bytes(pickle.dumps(told))
