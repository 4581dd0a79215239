"""A sharded model trains as one process does, and saves and resumes whole."""

from __future__ import annotations

import pytest
import torch
from rank_runs import (
    HOME,
    OPTIMIZERS,
    adamw,
    apart,
    batch,
    build,
    message_of,
    run_ranks,
    train,
    weights_of,
)
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule
from toys import ToyPlugin, toy_catalog

import fusionkit as fk
from fusionkit.errors import DistributedError
from fusionkit.training.distributed import (
    check_replicas,
    gather,
    gather_optimizer,
    gather_weights,
    save_together,
    scatter_optimizer,
    scatter_weights,
    shard,
    share_buffers,
)


def train_sharded(rank, name, blocks):
    model = shard(build(seed=rank), blocks=blocks)  # rank 0's weights are taken
    assert all(value.to_local().numel() <= value.numel() for value in model.parameters())
    assert not any(value.requires_grad for value in model.branches.parameters())
    train(model, model, OPTIMIZERS[name](model), rank, 2)
    check_replicas(model)
    model.eval()
    with torch.no_grad():
        answer = model.fuse(model.features(batch(0)[0]))
    wrapped = [path for path, each in model.named_modules() if isinstance(each, FSDPModule)]
    return gather_weights(model), answer, wrapped


BLOCKS = {f"branches.{branch}.{path}" for branch in ("slow", "still") for path in ("stem", "top")}
BLOCKS |= {f"branches.{branch}.body.0" for branch in ("slow", "still")}


@pytest.mark.parametrize(("name", "blocks"), [("sgd", True), ("adamw", True), ("adamw", False)])
def test_gradual_unfreezing_equals_one_process_with_twice_the_batch(tmp_path, name, blocks):
    (whole, answer, wrapped), (nothing, other, _) = run_ranks(train_sharded, tmp_path, name, blocks)
    assert nothing is None
    model = build()
    before = weights_of(model)
    alone = train(model, model, OPTIMIZERS[name](model))
    assert apart(whole, alone)[0] < 1e-9
    assert (before["branches.slow.stem.0.weight"] != whole["branches.slow.stem.0.weight"]).any()
    still = [each for each in before if each.startswith("branches.still.")]
    assert all(torch.equal(before[each], whole[each]) for each in still)
    expected = model.eval()(batch(0)[0])
    torch.testing.assert_close(answer, expected)
    torch.testing.assert_close(other, expected)
    assert set(wrapped) == {"branches.slow", "branches.still"} | (BLOCKS if blocks else set())


def resume(rank, folder, saved):
    catalog = toy_catalog()
    model = shard(build())
    optimizer = adamw(model)
    train(model, model, optimizer, rank, 2, epochs=range(2))
    assert save_together(model, folder) == folder
    state = gather_optimizer(model, optimizer)
    if rank == 0:
        torch.save(state, saved)
    weights = gather_weights(model)
    train(model, model, optimizer, rank, 2, epochs=range(2, 4))
    uninterrupted = gather_weights(model)

    again = shard(fk.load(folder, catalog=catalog))
    optimizer = adamw(again)
    scatter_optimizer(again, optimizer, torch.load(saved) if rank == 0 else None)
    train(again, again, optimizer, rank, 2, epochs=range(2, 4))
    from_folder = gather_weights(again)

    other = shard(build(seed=7))
    optimizer = adamw(other)
    scatter_weights(other, weights)
    scatter_optimizer(other, optimizer, state)
    train(other, other, optimizer, rank, 2, epochs=range(2, 4))
    return uninterrupted, from_folder, gather_weights(other)


def test_a_resumed_run_is_equal_to_one_that_was_not_interrupted(tmp_path):
    folder, saved = tmp_path / "model", tmp_path / "optimizer"
    told, _ = run_ranks(resume, tmp_path, folder, saved)
    uninterrupted, from_folder, from_weights = told
    assert apart(uninterrupted, from_folder)[0] == 0
    assert apart(uninterrupted, from_weights)[0] == 0
    # The same goes on in one process.
    model = fk.load(folder, catalog=toy_catalog())
    optimizer = adamw(model)
    scatter_optimizer(model, optimizer, torch.load(saved))
    alone = train(model, model, optimizer, epochs=range(2, 4))
    assert apart(uninterrupted, alone)[0] < 1e-9


def gather_whole(rank):
    model = shard(build(slow=fk.Freeze.on_plateau("loss", patience=1)))
    model.train().set_epoch(3, thaws={"slow": (1, 3)})
    whole = gather(model)
    if rank:
        return whole
    assert isinstance(whole, fk.FusedModel)
    assert all(type(value) is nn.Parameter for value in whole.parameters())
    learns = [name for name, value in model.named_parameters() if value.requires_grad]
    assert learns == [name for name, value in whole.named_parameters() if value.requires_grad]
    assert {name.split(".")[2] for name in learns if name.startswith("branches")} == {"body", "top"}
    assert (whole.epoch, whole.thaws, whole.training) == (3, {"slow": (1, 3)}, True)
    nn.functional.cross_entropy(whole(batch(0)[0]), batch(0)[1]).backward()
    return whole.eval()(batch(0)[0])


def test_gather_gives_a_whole_model_at_the_same_epoch(tmp_path):
    answer, nothing = run_ranks(gather_whole, tmp_path)
    assert nothing is None
    assert answer.shape == (8, 3)


def refuse(rank, folder):
    told = {
        "kind": message_of(DistributedError, shard, nn.Linear(1, 1)),
        "reshard": message_of(DistributedError, shard, build(), reshard_after_forward=False),
    }
    dropping = fk.compose(
        {name: fk.Branch("toy/tiny", weights=None, branch_dropout=0.1) for name in "ab"},
        head="concat",
        num_classes=3,
        catalog=fk.Catalog.installed().with_plugin("toy", ToyPlugin()),
    )
    told["dropping"] = message_of(DistributedError, shard, dropping)
    small = init_device_mesh(HOME[0].type, (2, 1), mesh_dim_names=("one", "other"))["other"]
    told["mesh"] = message_of(DistributedError, shard, build(), small)
    model = build()
    early = adamw(model)
    shard(model)
    told["twice"] = message_of(DistributedError, shard, model)
    told["early"] = message_of(DistributedError, gather_optimizer, model, early)
    told["save"] = message_of(fk.CheckpointError, fk.save, model, folder / "sharded")
    told["load"] = message_of(fk.CheckpointError, fk.load_weights, model, folder / "whole")
    (folder / "taken").mkdir(exist_ok=True)
    (folder / "taken" / "file").touch()
    error = DistributedError if rank else fk.CheckpointError
    told["taken"] = message_of(error, save_together, model, folder / "taken")
    weights = gather_weights(model)
    if weights is not None:
        weights["head.out.slow.weight"] = weights["head.out.slow.weight"][:1]
    told["weights"] = message_of(fk.ResumeError, scatter_weights, model, weights)
    optimizer = adamw(model)
    state = gather_optimizer(model, optimizer)
    if state is not None:
        state["groups"][0]["params"].pop()
    told["groups"] = message_of(fk.ResumeError, scatter_optimizer, model, optimizer, state)
    first = next(iter(model.parameters()))
    optimizer.state[first]["odd"] = first.detach().sum(0)
    told["odd"] = message_of(DistributedError, gather_optimizer, model, optimizer)
    return told


def test_what_cannot_be_sharded_saved_or_resumed_is_refused_on_all_processes(tmp_path):
    fk.save(build(), tmp_path / "whole")
    for rank, told in enumerate(run_ranks(refuse, tmp_path, tmp_path)):
        assert "shard takes a FusedModel, as compose gives it; got Linear" in told["kind"]
        assert "reshard_after_forward must stay True" in told["reshard"]
        assert "branch 'a' has branch_dropout" in told["dropping"]
        assert "the mesh has 1 of 2 processes" in told["mesh"]
        assert "sharded already" in told["twice"]
        assert "'slow/stem/decay' of the optimizer holds a parameter that is none" in told["early"]
        assert "DTensor, which no tensor file holds; gather it first" in told["save"]
        assert "DTensor" in told["load"]
        assert ("rank 0 could not save: CheckpointError" in told["taken"]) == bool(rank)
        assert "'head.out.slow.weight' has the shape (1, 16)" in told["weights"]
        assert "made for other parameter groups" in told["groups"]
        assert "AdamW keeps 'odd' of 'branches.slow.stem.0.weight' in shards" in told["odd"]


def move_statistics(rank):
    model = shard(build(slow=fk.Freeze.none()).train())
    model(batch(rank)[0])
    mine = model.branches["slow"].stem[1].running_mean.clone()
    check_replicas(model)
    share_buffers(model)
    return mine, model.branches["slow"].stem[1].running_mean


def test_statistics_of_what_learns_are_shared_on_request(tmp_path):
    (first, after_first), (second, after_second) = run_ranks(move_statistics, tmp_path)
    assert not torch.equal(first, second)
    assert torch.equal(after_first, first)
    assert torch.equal(after_second, first)
