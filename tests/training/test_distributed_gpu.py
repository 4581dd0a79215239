"""On one GPU: two processes that share it, and nccl alone. On two, all other tests use both."""

from __future__ import annotations

import pytest
from rank_runs import GPUS, HOME, OPTIMIZERS, adamw, apart, build, run_ranks, train

from fusionkit.training.distributed import (
    check_replicas,
    gather_optimizer,
    gather_weights,
    scatter_optimizer,
    scatter_weights,
    shard,
    wrap_data_parallel,
)

pytestmark = pytest.mark.skipif(not GPUS, reason="needs a GPU")


def train_wrapped(rank, ranks, name):
    model = build(seed=rank)
    replica = wrap_data_parallel(model)
    assert replica.device_ids == [HOME[0].index]
    told = train(replica, model, OPTIMIZERS[name](model), rank, ranks)
    check_replicas(model)
    return told


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(("ranks", "backend"), [(2, "gloo"), (1, "nccl")])
def test_replicas_on_a_gpu_equal_one_process(tmp_path, ranks, backend, name):
    told = run_ranks(train_wrapped, tmp_path, ranks, name, ranks=ranks, backend=backend)
    model = build()
    alone = train(model, model, OPTIMIZERS[name](model))
    for each in told:
        assert apart(each, alone)[0] < 1e-9


def resume_sharded(rank):
    model = shard(build().cpu())
    assert all(value.device.type == "cuda" for value in model.parameters())
    optimizer = adamw(model)
    train(model, model, optimizer, epochs=range(2))
    weights, state = gather_weights(model), gather_optimizer(model, optimizer)
    assert all(value.device.type == "cpu" for value in weights.values())
    train(model, model, optimizer, epochs=range(2, 4))
    again = shard(build(seed=7))
    optimizer = adamw(again)
    scatter_weights(again, weights)
    scatter_optimizer(again, optimizer, state)
    train(again, again, optimizer, epochs=range(2, 4))
    return gather_weights(model), gather_weights(again)


def test_a_sharded_model_on_a_gpu_trains_and_resumes(tmp_path):
    [(uninterrupted, resumed)] = run_ranks(resume_sharded, tmp_path, ranks=1, backend="nccl")
    assert apart(uninterrupted, resumed)[0] < 1e-12
    model = build()
    assert apart(uninterrupted, train(model, model, adamw(model)))[0] < 1e-9
