"""Whether two processes that train together stay equal."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import backward
from torch.nn.parallel import DistributedDataParallel

from fusionkit.policy.freeze import Freeze
from fusionkit.testing.backbones.learning.first_step import first_step, require_training
from fusionkit.testing.backbones.learning.frozen import require_cold
from fusionkit.testing.backbones.learning.models import last_epoch
from fusionkit.testing.backbones.learning.steps import (
    judge_answer,
    momentum,
    on_branch,
)
from fusionkit.testing.backbones.learning.tensors import changed, keep
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.seed import set_seed
from fusionkit.testing.words import some

__all__ = ["ranks_stay_equal"]

RANKS = 2
SECONDS = 60


@check("make the backbone train in several processes with gloo", slow=True)
def ranks_stay_equal(subject: BackboneSubject) -> Iterator[Finding]:
    """Two processes on different data have the same parameters after a thaw and four steps.

    They are wrapped by torch's DistributedDataParallel, again after the thaw.
    """
    if "fork" not in multiprocessing.get_all_start_methods() or torch.cuda.is_available():
        raise NotApplicableError("processes are forked, which needs a POSIX system and no GPU")
    if not distributed.is_available() or not distributed.is_gloo_available():
        raise NotApplicableError("this torch has no gloo")
    require_training(subject)
    require_cold(subject)
    if first_step(subject).dead:
        raise NotApplicableError("what_learns_gets_a_gradient says what gets none")
    with TemporaryDirectory() as folder:
        _run_processes(subject, Path(folder))
        told = [_read(Path(folder) / str(rank)) for rank in range(RANKS)]
    for rank, each in enumerate(told):
        if isinstance(each, str):
            yield Finding(f"process {rank} {each}", "make it train in each process as in one")
    parameters = [each for each in told if isinstance(each, dict)]
    if len(parameters) == RANKS and (differ := changed(*parameters)):
        yield Finding(
            f"{len(differ)} parameters differ between two processes: {some(differ)}",
            "change parameters by the optimizer only, from gradients that all processes share: "
            "not in forward, nor in hooks of backward",
        )


def _run_processes(subject: BackboneSubject, folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_train, args=(subject, folder, rank), daemon=True)
        for rank in range(RANKS)
    ]
    with warnings.catch_warnings():  # Python minds forks beside threads; these use none of them
        warnings.simplefilter("ignore", DeprecationWarning)
        for process in processes:
            process.start()
    try:
        for process in processes:
            process.join(SECONDS)
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()


def _read(file: Path) -> dict[str, Tensor] | str:
    """Gives the parameters that a process wrote, or what became of it."""
    if not file.is_file():
        return f"gave nothing within {SECONDS} seconds, or died"
    told: dict[str, Tensor] | str = torch.load(file, weights_only=True)
    return told


def _train(subject: BackboneSubject, folder: Path, rank: int) -> None:
    """Trains in a process of its own, and writes all parameters."""
    torch.set_num_threads(1)
    told: dict[str, Tensor] | str
    try:
        told = _learn(subject, folder, rank)
    except Exception as error:  # told by the process that waits
        told = f"failed: {type(error).__name__}: {' '.join(str(error).split())[:500]}"
    partial = folder / f"{rank}.part"
    torch.save(told, partial)
    partial.rename(folder / str(rank))


def _learn(subject: BackboneSubject, folder: Path, rank: int) -> dict[str, Tensor]:
    meeting = f"file://{folder / 'meeting'}"
    limit = timedelta(seconds=SECONDS)
    distributed.init_process_group("gloo", meeting, limit, RANKS, rank)
    try:
        model = subject.compose(freeze=Freeze.gradual(start=1))
        optimizer = momentum(model)
        set_seed(rank)
        for epoch in (0, last_epoch(model)):
            model.train().set_epoch(epoch)
            wrapped: nn.Module = DistributedDataParallel(model)
            for step in range(2):
                x: Any = subject.example(seed=1 + 10 * epoch + 2 * step + rank)
                backward(judge_answer(wrapped(on_branch(x))))
                optimizer.step()
                optimizer.zero_grad()
        return keep(dict(model.named_parameters()))
    finally:
        distributed.destroy_process_group()
