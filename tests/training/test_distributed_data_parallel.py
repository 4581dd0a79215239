"""Replicas stay in step with each other, and with one process, whatever thaws."""

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
    sgd,
    train,
    weights_of,
)
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from toys import ToyPlugin

import fusionkit as fk
from fusionkit.errors import DistributedError
from fusionkit.training.distributed import (
    check_replicas,
    everything_learns,
    wrap_data_parallel,
)


def moved(before, after, prefix):
    return [
        name for name in after if name.startswith(prefix) and (before[name] != after[name]).any()
    ]


def train_wrapped(rank, name, options):
    model = build(seed=rank)  # rank 0's weights go to all
    replica = wrap_data_parallel(model, **options)
    return train(replica, model, OPTIMIZERS[name](model), rank, 2)


@pytest.mark.parametrize(
    ("name", "options"),
    [("sgd", {}), ("adamw", {}), ("adamw", {"gradient_as_bucket_view": True})],
)
def test_gradual_unfreezing_equals_one_process_with_twice_the_batch(tmp_path, name, options):
    one, other = run_ranks(train_wrapped, tmp_path, name, options)
    assert apart(one, other)[0] == 0
    model = build()
    before = weights_of(model)
    alone = train(model, model, OPTIMIZERS[name](model))
    assert apart(one, alone)[0] < 1e-9
    assert moved(before, one, "branches.slow.stem")
    assert not moved(before, one, "branches.still")
    assert not [name for name in moved(before, one, "branches.slow") if "running" in name]


def train_naively(rank, find_unused):
    model = build()
    replica = DistributedDataParallel(model, find_unused_parameters=find_unused)
    return train(replica, model, sgd(model), rank, 2)


@pytest.mark.parametrize("find_unused", [False, True])
def test_wrapping_while_frozen_drifts_apart_without_an_error(tmp_path, find_unused):
    one, other = run_ranks(train_naively, tmp_path, find_unused)
    difference, name = apart(one, other)
    assert difference > 1e-3
    assert name.startswith("branches.slow")


def thaw_on_a_plateau(rank):
    model = build(slow=fk.Freeze.on_plateau("loss", patience=1, norm="eval", dropout="eval"))
    replica = wrap_data_parallel(model)

    def begin(epoch):
        model.train().set_epoch(epoch, thaws={"slow": (1,)} if epoch else None)

    return train(replica, model, adamw(model), rank, 2, epochs=range(2), begin=begin)


def test_a_thaw_on_a_plateau_is_synchronised(tmp_path):
    one, other = run_ranks(thaw_on_a_plateau, tmp_path)
    assert apart(one, other)[0] == 0
    assert moved(weights_of(build()), one, "branches.slow.top")


def step_with_dropped_branches(rank):
    model = fk.compose(
        {name: fk.Branch("toy/tiny", weights=None, branch_dropout=0.9) for name in "ab"},
        head="concat",
        num_classes=3,
        catalog=fk.Catalog.installed().with_plugin("toy", ToyPlugin()),
    ).to(HOME[0])
    replica = wrap_data_parallel(model.train())
    optimizer = torch.optim.SGD(model.param_groups(lr=0.1))
    torch.manual_seed(rank)
    for _ in range(6):
        optimizer.zero_grad()
        replica(torch.randn(2, 3, 8, 8, device=HOME[0])).sum().backward()
        optimizer.step()
    check_replicas(model)
    return replica.find_unused_parameters


def test_branches_that_are_dropped_on_one_process_do_not_stop_the_others(tmp_path):
    assert run_ranks(step_with_dropped_branches, tmp_path) == [True, True]


def options_by_policy(rank):
    plain = wrap_data_parallel(build(slow=fk.Freeze.last(1)))
    changing = wrap_data_parallel(build())
    around = wrap_data_parallel(nn.Sequential(build()))
    told = {
        "plain": plain.find_unused_parameters,
        "changing": changing.find_unused_parameters,
        "around": around.find_unused_parameters,
        "static": message_of(DistributedError, wrap_data_parallel, build(), static_graph=True),
        "false": message_of(
            DistributedError, wrap_data_parallel, build(), find_unused_parameters=False
        ),
        "none": message_of(DistributedError, wrap_data_parallel, nn.Linear(1, 1)),
    }
    still = build(slow=fk.Freeze.all())
    still.head.requires_grad_(False)
    told["nothing"] = message_of(DistributedError, wrap_data_parallel, still)
    policy = fk.Freeze.none() if rank else fk.Freeze.all()
    told["policies"] = message_of(DistributedError, wrap_data_parallel, build(slow=policy))
    return told


def test_options_follow_the_policies_and_those_that_cannot_go_with_them_are_refused(tmp_path):
    for told in run_ranks(options_by_policy, tmp_path):
        assert told["plain"] is False
        assert told["changing"] is True
        assert told["around"] is True
        assert "static_graph=True cannot go with policies" in told["static"]
        assert "find_unused_parameters=False cannot go with policies" in told["false"]
        assert "this Linear has none" in told["none"]
        assert "no parameter ever learns" in told["nothing"]
        assert (
            "rank 1 does not train the model of rank 0: slow: freeze is 'Freeze.none()'"
            in (told["policies"])
        )


def exchange_weights(rank, folder):
    model = build()
    replica = wrap_data_parallel(model)
    x, _ = batch(0, rank, 2)
    told = {}
    other = weights_of(build(seed=5))
    model.load_state_dict(other)  # into the same parameters
    replica(x)
    fk.load_weights(model, folder)
    replica(x)
    check_replicas(model)
    model.head.out["still"].weight.requires_grad_(False)
    late = wrap_data_parallel(model)
    model.head.out["still"].weight.requires_grad_(True)
    told["late"] = message_of(DistributedError, late, x)
    model.load_state_dict(other, assign=True)
    told["assigned"] = message_of(DistributedError, replica, x)
    return told


def test_weights_that_are_put_in_place_of_others_after_the_wrap_are_refused(tmp_path):
    folder = fk.save(build(seed=3), tmp_path / "saved")
    for told in run_ranks(exchange_weights, tmp_path, folder):
        assert "'branches.slow.stem.0.weight' was exchanged after the model" in told["assigned"]
        assert "without assign=True" in told["assigned"]
        assert "'head.out.still.weight' did not require a gradient when" in told["late"]


def test_everything_learns_only_meanwhile():
    model = build().set_epoch(1)
    learning = {name for name, value in model.named_parameters() if value.requires_grad}
    with everything_learns(model):
        meanwhile = {name for name, value in model.named_parameters() if value.requires_grad}
    after = {name for name, value in model.named_parameters() if value.requires_grad}
    assert learning == after
    assert {name for name in meanwhile if name.startswith("branches.slow")} == {
        name for name, _ in model.named_parameters() if name.startswith("branches.slow")
    }
    assert not any(name.startswith("branches.still") for name in meanwhile)


def test_without_a_process_group_there_is_nothing_to_wrap_for():
    with pytest.raises(DistributedError, match=r"no process group; .* torchrun, .*'gloo'"):
        wrap_data_parallel(build())
