"""Which of the processes of a run this one is, before they have found each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch.distributed as dist

from fusionkit.errors import DistributedError
from fusionkit.processes import in_group, rank
from fusionkit.runs.settings import TrainingSettings

__all__ = ["first_alone", "is_first", "name_lost_processes"]

LOST = ("connection closed", "connection reset", "broken pipe", "socket timeout", "timed out")


def is_first(settings: TrainingSettings, environment: Mapping[str, str] | None = None) -> bool:
    """Tells whether this process is the one that writes a run's folder and speaks.

    The others are started by Lightning, with the same command, by ``torchrun`` or by Slurm; each
    says in the environment which one a process is.

    Args:
        settings: with one device on one machine the only process is the first.
        environment: by default the process's own.
    """
    if settings.devices * settings.nodes == 1:
        return True
    there = os.environ if environment is None else environment
    for name in ("RANK", "SLURM_PROCID"):
        if name in there:
            return int(there[name]) == 0
    return int(there.get("LOCAL_RANK", 0)) == 0 and int(there.get("NODE_RANK", 0)) == 0


def first_alone(work: Callable[[], None]) -> None:
    """Lets the first process do something for which all others wait.

    Raises:
        SystemExit: in the others, where it failed in the first, which says why.
    """
    if not in_group():
        work()
        return
    done = [False]
    try:
        if rank() == 0:
            work()
            done = [True]
    finally:
        dist.broadcast_object_list(done, src=0)
    if not done[0]:
        raise SystemExit(1)


@contextmanager
def name_lost_processes() -> Iterator[None]:
    """Says in plain words that another process has ended, which has said itself why.

    Raises:
        DistributedError: in place of what the transport says.
    """
    try:
        yield
    except RuntimeError as error:
        said = str(error).lower()
        alone = not in_group()
        if alone or not (isinstance(error, dist.DistError) or any(each in said for each in LOST)):
            raise
        raise DistributedError(
            f"process {rank()} has lost another one, which has failed or was killed; its "
            "message says why. Go on from what was saved with --resume"
        ) from error
