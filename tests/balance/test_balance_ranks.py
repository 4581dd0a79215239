"""Modulated in two processes, the replicas stay equal, as one process on the joint batch is."""

from __future__ import annotations

import multiprocessing
import warnings

import pytest
import torch
from imbalance import build, draw_noise
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

import fusionkit as fk
from fusionkit.balance import OGMGE, AuxiliaryLoss, ScoredModel

HEAD = fk.Head("auxiliary")
STEPS = 3
ROWS = 6


def train(replica, model, rank, ranks):
    modulation = OGMGE(model, alpha=0.8)
    optimizer = torch.optim.SGD(model.param_groups(lr=0.1), momentum=0.9)
    loss = AuxiliaryLoss(0.5)
    told = []
    for step in range(STEPS):
        x, labels = draw_noise(batch=ROWS, seed=step)
        x["loud"][:, 0] += 3 * labels
        mine = slice(rank * ROWS // ranks, (rank + 1) * ROWS // ranks)
        scores = replica({name: each[mine] for name, each in x.items()})
        optimizer.zero_grad()
        loss(scores, labels[mine]).backward()
        modulation.observe(scores.branches, labels[mine])
        told.append(modulation.modulate())
        optimizer.step()
    return {name: value.detach().clone() for name, value in model.named_parameters()}, told


def run_rank(folder, rank):
    torch.set_num_threads(1)
    store = distributed.FileStore(str(folder / "meeting"), 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    model = build(HEAD)
    replica = DistributedDataParallel(ScoredModel(model))
    torch.save(train(replica, model, rank, 2), folder / str(rank))
    distributed.destroy_process_group()


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods() or torch.cuda.is_available(),
    reason="processes are forked, which needs a POSIX system and no GPU",
)
def test_replicas_stay_equal_and_equal_one_process(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=run_rank, args=(tmp_path, rank)) for rank in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forks beside threads
        for process in processes:
            process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    (one, factors), (other, others) = (torch.load(tmp_path / str(rank)) for rank in range(2))
    assert factors == others
    assert all(torch.equal(one[name], other[name]) for name in one)
    model = build(HEAD)
    alone, expected = train(ScoredModel(model), model, 0, 1)
    assert any(k < 1 for each in expected for k in each.values())
    for mine, theirs in zip(factors, expected, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)
    for name, value in alone.items():
        torch.testing.assert_close(one[name], value, rtol=1e-4, atol=1e-5)
