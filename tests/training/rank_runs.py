"""Runs a function in two processes that make a group, and gives what each told.

On two GPUs with nccl where there are as many, else on the CPU with gloo.
"""

from __future__ import annotations

import multiprocessing
import traceback
import warnings
from datetime import timedelta

import pytest
import torch
from torch import distributed, nn
from toys import perturb, toy_catalog

import fusionkit as fk

RANKS = 2
STEPS = 2
SECONDS = 60

GPUS = torch.cuda.device_count()
HOME = [torch.device("cpu")]  # where models and batches are made, in this process

needs_fork = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods() or torch.cuda.is_available(),
    reason="processes are forked, which needs a POSIX system and no GPU",
)


def run_ranks(function, folder, *arguments, ranks=RANKS, gpus=GPUS, backend=None):
    """Gives what ``function(rank, *arguments)`` gave on each rank, or raises what went wrong."""
    fork = "fork" in multiprocessing.get_all_start_methods() and not GPUS
    context = multiprocessing.get_context("fork" if fork else "spawn")
    on_gpu = gpus >= ranks or backend is not None
    backend = backend or ("nccl" if on_gpu else "gloo")
    given = (function, folder, (ranks, backend, on_gpu), arguments)
    processes = [
        context.Process(target=_run, args=(rank, *given), daemon=True) for rank in range(ranks)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forks beside threads
        for process in processes:
            process.start()
    try:
        for process in processes:
            process.join(SECONDS)
        # Of any type, and this test's own: the processes have just written it.
        told = [torch.load(folder / str(rank), weights_only=False) for rank in range(ranks)]
    finally:
        for process in processes:
            process.kill()
            process.join()
    failures = [text for kind, text in told if kind == "failed"]
    assert not failures, "\n".join(failures)
    return [value for _, value in told]


def _run(rank, function, folder, group, arguments):
    ranks, backend, on_gpu = group
    torch.set_num_threads(1)
    if on_gpu:
        HOME[0] = torch.device("cuda", rank % GPUS)
        torch.cuda.set_device(HOME[0])
    store = distributed.FileStore(str(folder / "meeting"), ranks)
    distributed.init_process_group(
        backend, store=store, rank=rank, world_size=ranks, timeout=timedelta(seconds=SECONDS)
    )
    try:
        told = ("gave", function(rank, *arguments))
    except Exception:
        told = ("failed", f"rank {rank}: {traceback.format_exc()}")
    torch.save(told, folder / f"{rank}.part")
    (folder / f"{rank}.part").rename(folder / str(rank))
    if distributed.is_initialized():
        distributed.destroy_process_group()


def message_of(error, function, *arguments, **options):
    """Gives the message of the error that a call ends in."""
    with pytest.raises(error) as caught:
        function(*arguments, **options)
    return str(caught.value)


GRADUAL = fk.Freeze.gradual(norm="eval", dropout="eval")


def build(slow=GRADUAL, still=None, head="toy/sum", seed=0, **options):
    """Gives a model in float64: a branch that thaws, and one with a batch norm that is frozen."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = fk.compose(
            {
                "slow": fk.Branch("toy/tiny", weights=None, freeze=slow, **options),
                "still": fk.Branch("toy/tiny", weights=None, freeze=still or fk.Freeze.all()),
            },
            head=fk.Head(head),
            num_classes=3,
            catalog=toy_catalog(),
        ).double()
    perturb(model, seed)
    return model.to(HOME[0])


ROWS = 8


def batch(step, rank=0, ranks=1):
    """Gives this rank's part of a batch "b 3 8 8", and its labels "b"."""
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(ROWS, 3, 8, 8, generator=generator).double()
    labels = torch.randint(3, (ROWS,), generator=generator)
    mine = slice(rank * ROWS // ranks, (rank + 1) * ROWS // ranks)
    return x[mine].to(HOME[0]), labels[mine].to(HOME[0])


def sgd(model):
    return torch.optim.SGD(model.param_groups(lr=0.05, weight_decay=0.01), momentum=0.9)


def adamw(model):
    return torch.optim.AdamW(model.param_groups(lr=0.01, weight_decay=0.05))


OPTIMIZERS = {"sgd": sgd, "adamw": adamw}


def train(replica, model, optimizer, rank=0, ranks=1, *, epochs=range(4), begin=None):
    """Trains in a plain loop: freezes and thaws at each epoch's start."""
    for epoch in epochs:
        (begin or model.train().set_epoch)(epoch)
        for step in range(STEPS):
            x, labels = batch(STEPS * epoch + step, rank, ranks)
            optimizer.zero_grad()
            nn.functional.cross_entropy(replica(x), labels).backward()
            optimizer.step()
    return weights_of(model)


def weights_of(model):
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def apart(one, other):
    """Gives the largest difference between two states, and where it is."""
    assert one.keys() == other.keys()
    return max((float((one[name] - other[name]).abs().max()), name) for name in one)
