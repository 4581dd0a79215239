"""Processes that do not hold the same model are told so, by rank, branch and tensor."""

from __future__ import annotations

import warnings

import torch
from rank_runs import adamw, batch, build, message_of, run_ranks, train

import fusionkit as fk
from fusionkit.errors import DistributedError
from fusionkit.training.distributed import (
    check_replicas,
    share_buffers,
    wrap_data_parallel,
)


@torch.no_grad()
def differ(rank):
    told = {}

    def ask(what, change, model=None):
        model = build() if model is None else model
        if rank:
            change(model)
        told[what] = message_of(DistributedError, check_replicas, model)

    def poke(tensor):
        tensor.view(-1)[-1] += 1e-9

    check_replicas(build())
    ask("parameter", lambda model: poke(model.branches["slow"].top.weight))
    ask("head", lambda model: poke(model.head.out["still"].bias))
    ask("frozen statistics", lambda model: poke(model.branches["still"].stem[1].running_var))
    ask("epoch", lambda model: model.set_epoch(2))
    plateau = fk.Freeze.on_plateau("loss")
    ask("thaw", lambda model: model.set_epoch(0, thaws={"slow": (3,)}), build(slow=plateau))
    told["lr"] = message_of(DistributedError, check_replicas, build(lr=fk.LR(1 + rank)))
    return told


def test_each_difference_is_named_on_every_process(tmp_path):
    first, second = run_ranks(differ, tmp_path)
    assert first == second
    assert "branch 'slow': 'top.weight' of rank 1 is not that of rank 0" in first["parameter"]
    assert "change weights by the optimizer only" in first["parameter"]
    assert "head: 'out.still.bias' of rank 1 is not" in first["head"]
    assert "branch 'still': 'stem.1.running_var' of rank 1" in first["frozen statistics"]
    assert "epoch is 2 there, 0 on rank 0" in first["epoch"]
    assert "slow: thaws is (3,) there, () on rank 0" in first["thaw"]
    assert "decide thaws from metrics that agree() gave" in first["thaw"]
    assert 'slow: lr is "LR(scale=2,' in first["lr"]


def keep_statistics(rank):
    model = build(slow=fk.Freeze.none())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # a newer name is not in older versions
        replica = wrap_data_parallel(model.train(), broadcast_buffers=False)
    before = {name: value.clone() for name, value in model.named_buffers()}
    train(replica, model, adamw(model), rank, 2, epochs=range(1))
    check_replicas(model)  # though what learns has seen other samples
    return before, dict(model.named_buffers())


def test_a_frozen_batch_norm_is_the_same_everywhere_where_no_buffers_are_sent(tmp_path):
    (before, one), (_, other) = run_ranks(keep_statistics, tmp_path)
    for name in one:
        if name.startswith("branches.still"):
            assert torch.equal(one[name], before[name])
            assert torch.equal(one[name], other[name])
    assert not torch.equal(
        one["branches.slow.stem.1.running_mean"], other["branches.slow.stem.1.running_mean"]
    )


def test_one_process_is_like_itself():
    model = build()
    expected = model.eval()(batch(0)[0])
    check_replicas(model)
    share_buffers(model)
    assert torch.equal(model(batch(0)[0]), expected)
