"""Every parameter is in exactly one group, and the groups say what learns and how fast."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from odd_toys import PLAIN, OddNet, branch, build, images, odd_catalog
from torch import nn
from torch.nn import functional
from toys import perturb

import fusionkit as fk

NETS = ["tiny", *PLAIN]
POLICIES = {
    "all": fk.Freeze.all(),
    "none": fk.Freeze.none(),
    "last": fk.Freeze.last(1),
    "bias": fk.Freeze.only("bias"),
    "gradual": fk.Freeze.gradual(),
}


def owned(groups) -> list[int]:
    return [id(parameter) for group in groups for parameter in group["params"]]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("epoch", [0, 2])
def test_p2_what_learns_is_what_moves_and_what_has_a_gradient(net, policy, epoch):
    model = build({"a": branch(net, freeze=POLICIES[policy]), "b": branch("tiny")})
    perturb(model)
    model.train().set_epoch(epoch)
    groups = model.param_groups(lr=0.1, weight_decay=0.1)
    optimizer = torch.optim.AdamW(groups)
    assert sorted(owned(groups)) == sorted(id(value) for value in model.parameters())
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    functional.cross_entropy(model(images()), torch.tensor([0, 1, 2, 3])).backward()
    gradients = {name for name, value in model.named_parameters() if value.grad is not None}
    optimizer.step()
    moved = {
        name for name, value in model.named_parameters() if not torch.equal(value, before[name])
    }
    wanted = {name for name, value in model.named_parameters() if value.requires_grad}
    for name, part in model.parts.items():
        prefix = f"branches.{name}."
        path = model.branches[name].trunk_path
        prefix += f"{path}." if path else ""
        mine = {key for key in wanted if key.startswith(f"branches.{name}.")}
        assert mine == {prefix + key for key in part.learning(epoch)}
    assert wanted == gradients == moved


def test_p2_thawing_changes_no_group_and_needs_no_new_optimizer():
    model = build({"a": branch("tiny", freeze=fk.Freeze.gradual())})
    optimizer = torch.optim.AdamW(model.param_groups(lr=0.1))
    names = [group["name"] for group in optimizer.param_groups]
    for epoch in range(4):
        model.train().set_epoch(epoch)
        before = {name: value.detach().clone() for name, value in model.named_parameters()}
        optimizer.zero_grad()
        model(images()).square().mean().backward()
        optimizer.step()
        for name, value in model.named_parameters():
            assert torch.equal(value, before[name]) != value.requires_grad, (epoch, name)
    assert [group["name"] for group in model.param_groups(lr=0.1)] == names
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_groups_are_named_by_branch_stage_and_decay_with_rates_and_decays():
    model = build(
        {
            "a": branch("tiny", freeze=fk.Freeze.all(), lr=fk.LR(0.1, layer_decay=0.75)),
            "b": branch("odd", lr=fk.LR(2.0, weight_decay=0.3)),
        }
    )
    groups = {group["name"]: group for group in model.param_groups(lr=0.01, weight_decay=0.05)}
    assert list(groups) == [
        *[
            f"a/{stage}/{kind}"
            for stage in ("stem", "body", "top")
            for kind in ("decay", "no_decay")
        ],
        *[
            f"b/{stage}/{kind}"
            for stage in ("one", "two", "three")
            for kind in ("decay", "no_decay")
        ],
        "head/decay",
        "head/no_decay",
    ]
    assert groups["a/top/decay"]["lr"] == pytest.approx(0.001)
    assert groups["a/stem/decay"]["lr"] == pytest.approx(0.001 * 0.75**12)
    assert groups["a/body/no_decay"]["lr"] == pytest.approx(0.001 * 0.75**6)
    assert groups["b/one/decay"]["lr"] == pytest.approx(0.02)
    assert groups["head/decay"]["lr"] == 0.01
    assert groups["a/top/decay"]["weight_decay"] == 0.05
    assert groups["b/one/decay"]["weight_decay"] == 0.3
    assert groups["head/decay"]["weight_decay"] == 0.05
    assert {groups[name]["weight_decay"] for name in groups if name.endswith("no_decay")} == {0.0}
    backbone = model.branches["a"]
    assert {id(p) for p in groups["a/stem/no_decay"]["params"]} == {
        id(backbone.stem[1].weight),
        id(backbone.stem[1].bias),
    }


def test_groups_by_block_have_a_rate_for_each_block():
    model = build({"a": branch("tiny", lr=fk.LR(0.1, layer_decay=0.5, by="block"))})
    groups = {group["name"]: group["lr"] for group in model.param_groups(lr=1.0)}
    assert [name for name in groups if name.startswith("a/") and name.endswith("/decay")] == [
        "a/stem/0/decay",
        "a/body/1/decay",
        "a/body/2/decay",
        "a/top/3/decay",
    ]
    rates = [rate for name, rate in groups.items() if name.endswith("/decay")][:4]
    ratios = [late / early for early, late in pairwise(rates)]
    assert ratios == pytest.approx([2.0**4] * 3)
    assert set(groups) - {"head/decay", "head/no_decay"} <= set(model.group_stages())
    assert model.group_stages()["a/body/2/decay"] == ("a", 1)


def test_norms_biases_and_what_the_backbone_says_do_not_decay():
    class Table(OddNet):
        no_weight_decay = frozenset({"two.weight"})

    catalog = odd_catalog(
        {"table": lambda *, in_channels, weights, num_classes: Table(in_channels)}
    )
    model = fk.compose({"a": branch("table"), "b": branch("tiny")}, "odd/sum", 5, catalog=catalog)
    groups = {group["name"]: group for group in model.param_groups(lr=0.1, weight_decay=0.1)}
    kept = {
        id(value)
        for name in groups
        if name.endswith("no_decay")
        for value in groups[name]["params"]
    }
    names = {name for name, value in model.named_parameters() if id(value) in kept}
    assert names == {
        *(f"branches.a.{name}" for name in ("one.bias", "two.weight", "two.bias", "three.bias")),
        *(f"branches.b.{name}" for name in ("stem.1.weight", "stem.1.bias", "body.0.bias")),
        *(f"branches.b.{name}" for name in ("body.1.weight", "body.1.bias", "body.3.bias")),
        *("branches.b.top.bias", "head.out.a.bias", "head.out.b.bias"),
    }


@pytest.mark.parametrize("lr", [-1.0, float("nan"), float("inf"), "0.1", None, True])
def test_f064_a_rate_that_is_no_rate_is_refused(lr):
    model = build({"a": branch("odd")})
    with pytest.raises(fk.PolicyError, match="lr must be a number, zero or positive"):
        model.param_groups(lr=lr)
    if lr is not None:
        with pytest.raises(fk.PolicyError, match="weight_decay must be a number"):
            model.param_groups(lr=0.1, weight_decay=lr)


def test_f061_a_parameter_that_was_added_later_is_named():
    model = build({"a": branch("odd")})
    model.extra = nn.Linear(2, 2)
    with pytest.raises(fk.AssemblyError, match=r"'extra\.weight' is in no group, so no optimizer"):
        model.param_groups(lr=0.1)


def test_f061_a_parameter_that_was_tied_to_another_branch_later_is_named():
    model = build({"a": branch("odd"), "b": branch("odd")})
    model.branches["b"].two.weight = model.branches["a"].two.weight
    with pytest.raises(fk.AssemblyError, match="is in two groups: a/two/decay and b/two/decay"):
        model.param_groups(lr=0.1)


def test_a_parameter_that_was_replaced_is_found_by_its_name():
    model = build({"a": branch("odd")})
    groups = model.param_groups(lr=0.1)
    model.branches["a"].two.weight = nn.Parameter(torch.ones(8, 8, 3, 3))
    fresh = model.param_groups(lr=0.1)
    assert set(owned(fresh)) != set(owned(groups))
    assert set(owned(fresh)) == {id(value) for value in model.parameters()}


def test_tied_parameters_of_a_head_are_in_one_group():
    class TiedHead(fk.FusionHead):
        def __init__(self, inputs, *, num_classes):
            super().__init__()
            self.reads = "vector"
            self.one = nn.Linear(8, num_classes)
            self.two = nn.Linear(8, num_classes)
            self.two.weight = self.one.weight

        def forward(self, features):
            return sum(self.one(each.vector) + self.two(each.vector) for each in features.values())

    catalog = odd_catalog(heads={"tied": TiedHead})
    model = fk.compose({"a": branch("odd")}, "odd/tied", 5, catalog=catalog)
    groups = model.param_groups(lr=0.1)
    assert sorted(owned(groups)) == sorted(id(value) for value in model.parameters())


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(
    "make",
    [
        lambda groups: torch.optim.SGD(groups, momentum=0.9),
        torch.optim.Adam,
        torch.optim.AdamW,
        lambda groups: torch.optim.RMSprop(groups, momentum=0.9),
    ],
    ids=["sgd", "adam", "adamw", "rmsprop"],
)
def test_p4_what_freezes_again_stays(make, accumulate, set_to_none):
    model = build({"a": branch("tiny", freeze=fk.Freeze.gradual(start=1))})
    perturb(model)
    model.train().set_epoch(3)
    optimizer = make(model.param_groups(lr=0.05, weight_decay=0.1))

    def steps(count: int) -> None:
        for step in range(count):
            for part in range(accumulate):
                model(images(seed=step + part)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=set_to_none)

    steps(3)
    model(images(seed=9)).square().mean().backward()  # gradients that nobody used yet
    model.set_epoch(1)
    frozen = {
        name: value.detach().clone()
        for name, value in model.named_parameters()
        if not value.requires_grad
    }
    assert any(name.startswith("branches.a.stem") for name in frozen)
    learning = model.branches["a"].top.weight.detach().clone()
    steps(3)
    for name, value in frozen.items():
        assert torch.equal(model.get_parameter(name), value), name
    assert not torch.equal(model.branches["a"].top.weight, learning)
    model.set_epoch(3)
    steps(1)
    assert not torch.equal(model.branches["a"].stem[0].weight, frozen["branches.a.stem.0.weight"])
