"""What stays whole in a sharded model is averaged as well: heads, and single numbers."""

from __future__ import annotations

import torch
from rank_runs import HOME, apart, batch, run_ranks, weights_of
from torch import nn
from torch.distributed.tensor import DTensor
from toys import ToyPlugin

import fusionkit as fk
from fusionkit.balance import AuxiliaryLoss, score
from fusionkit.training.distributed import check_replicas, gather_weights, shard


class GainNet(fk.Backbone):
    """A perceptron whose blocks give views, with a gain that is a single number."""

    in_channels = 3
    embed_dim = 4

    def __init__(self):
        super().__init__()
        self.stages = (fk.Stage("first", ("first", "gain")), fk.Stage("second", "second"))
        self.first = nn.Linear(3, 4)
        self.gain = nn.Parameter(torch.tensor(0.5))
        self.second = nn.Sequential(nn.Linear(4, 8), nn.Unflatten(1, (2, 4)))

    def forward(self, x, reads):
        x = self.first(x.mean((2, 3))).relu() * self.gain
        pairs = self.second(x)
        pairs += x[:, None]  # in place, on what the block gave
        return fk.Features(vector=pairs[:, 0])


class GainPlugin(ToyPlugin):
    @fk.hookimpl
    def fusionkit_backbones(self):
        def gain(*, in_channels=3, weights=None, num_classes=None):
            return GainNet()

        return {"gain": gain}


def build(seed=0):
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = fk.compose(
            {name: fk.Branch("toy/gain", weights=None, freeze=freeze) for name, freeze in POLICIES},
            head="adaptive",
            num_classes=3,
            catalog=fk.Catalog.installed().with_plugin("toy", GainPlugin()),
        )
    return model.double().to(HOME[0])


POLICIES = (("slow", fk.Freeze.gradual(start=1)), ("still", fk.Freeze.all()))


def train(model, rank, ranks):
    """Trains on the fused scores and each branch's own, two batches a step, clipped."""
    optimizer = torch.optim.AdamW(model.param_groups(lr=0.01))
    loss = AuxiliaryLoss(0.5)
    norms = []
    for epoch in range(3):
        model.train().set_epoch(epoch)
        optimizer.zero_grad()
        for step in range(2):
            x, labels = batch(2 * epoch + step, rank, ranks)
            loss(score(model, x), labels).backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        norms.append(float(norm.full_tensor() if isinstance(norm, DTensor) else norm))
        optimizer.step()
    return norms


def train_sharded(rank):
    model = shard(build(seed=rank))
    assert all(isinstance(value, DTensor) for value in model.parameters())
    norms = train(model, rank, 2)
    check_replicas(model)
    head = {name: value.to_local().detach() for name, value in model.head.named_parameters()}
    return gather_weights(model), norms, {name: value.cpu() for name, value in head.items()}


def test_heads_and_numbers_learn_as_in_one_process(tmp_path):
    (whole, norms, head), (_, other_norms, other_head) = run_ranks(train_sharded, tmp_path)
    assert apart(head, other_head)[0] == 0
    model = build()
    before = weights_of(model)
    alone = train(model, 0, 1)
    torch.testing.assert_close(norms, alone)
    torch.testing.assert_close(other_norms, alone)
    assert all(norm > 0.1 for norm in alone)
    assert apart(whole, weights_of(model))[0] < 1e-9
    assert before["branches.slow.gain"] != whole["branches.slow.gain"]
    assert before["branches.still.gain"] == whole["branches.still.gain"]
    assert before["head.log_sharpness"] != whole["head.log_sharpness"]


def leave_out(rank):
    model = shard(build())
    optimizer = torch.optim.AdamW(model.param_groups(lr=0.01, weight_decay=0.1))
    model.head.scores.classifiers["still"].requires_grad_(False)
    before = gather_weights(model)
    model(batch(rank)[0]).sum().backward()
    gradients = [name for name, value in model.named_parameters() if value.grad is not None]
    optimizer.step()
    return before, gather_weights(model), gradients


def test_what_was_frozen_by_hand_in_the_head_gets_no_gradient(tmp_path):
    (before, after, names), (_, _, others) = run_ranks(leave_out, tmp_path)
    assert names == others
    assert names
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert set(moved) <= set(names)
    assert not [name for name in names if name.startswith("head.scores.classifiers.still")]
    assert not [name for name in names if name.startswith("branches")]
