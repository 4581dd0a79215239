"""What is frozen is still: bit-identical, silent, and independent of its batch."""

from __future__ import annotations

import hashlib

import pytest
import torch
from odd_toys import PLAIN, SharedModule, branch, build, images, odd_catalog
from torch import nn
from torch.nn import functional
from toys import perturb

import fusionkit as fk

OPTIMIZERS = {
    "sgd": lambda groups: torch.optim.SGD(groups, momentum=0.9, nesterov=True),
    "adamw": torch.optim.AdamW,
    "rmsprop": lambda groups: torch.optim.RMSprop(groups, momentum=0.9),
    "adam": lambda groups: torch.optim.Adam(groups, amsgrad=True),
}
POLICIES = {
    "all": fk.Freeze.all(),
    "last": fk.Freeze.last(1),
    "only bias": fk.Freeze.only("bias"),
    "only glob": fk.Freeze.only("*.weight*", norm="eval"),
}
NETS = ["tiny", *(name for name in PLAIN if name != "author_frozen")]


def tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Gives every parameter and buffer, non-persistent ones too."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def digest(module: nn.Module, names=None) -> dict[str, str]:
    return {
        name: hashlib.sha256(value.detach().contiguous().numpy().tobytes()).hexdigest()
        for name, value in tensors(module).items()
        if names is None or name in names
    }


def train(model, optimizer, *, steps=3, set_to_none=True, accumulate=1, seed=0) -> None:
    model.train()
    for step in range(steps):
        for part in range(accumulate):
            logits = model(images(seed=seed + 10 * step + part))
            target = torch.randint(0, 5, (len(logits),))
            functional.cross_entropy(logits, target).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=set_to_none)


def frozen_names(model, name="a") -> set[str]:
    """Gives the frozen parameters, and the buffers of modules that have no learning parameter."""
    backbone = model.branches[name]
    still = {key for key, value in backbone.named_parameters() if not value.requires_grad}
    for path, module in backbone.named_modules():
        if not module.training:
            start = f"{path}." if path else ""
            still |= {start + key for key, _ in module.named_buffers(recurse=False)}
    return still


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("net", NETS)
def test_p1_frozen_tensors_are_bit_identical_after_training(net, policy, optimizer):
    torch.manual_seed(0)
    if policy == "only glob" and net == "old_spectral":
        policy = "last"
    model = build({"a": branch(net, freeze=POLICIES[policy]), "b": branch("tiny")})
    perturb(model)
    chosen = OPTIMIZERS[optimizer](model.param_groups(lr=0.1, weight_decay=0.1))
    model.train()
    names = frozen_names(model)
    before = digest(model.branches["a"], names)
    everything = digest(model)
    train(model, chosen, set_to_none=False)
    train(model, chosen, accumulate=2)
    assert names
    assert digest(model.branches["a"], names) == before
    assert digest(model) != everything


@pytest.mark.parametrize("net", NETS)
def test_p1_a_frozen_branch_is_the_same_function_after_training(net):
    model = build({"a": branch(net, freeze=fk.Freeze.all()), "b": branch("tiny")})
    perturb(model)
    before, after = digest(model.branches["a"]), None
    with torch.no_grad():
        first = model.eval().embed(images())["a"]
        train_output = model.train().embed(images())["a"]
    with torch.enable_grad():
        train(model, OPTIMIZERS["adamw"](model.param_groups(lr=0.1, weight_decay=0.1)))
    with torch.no_grad():
        after = model.eval().embed(images())["a"]
    assert digest(model.branches["a"]) == before
    assert torch.equal(first, train_output)
    assert torch.equal(first, after)


@pytest.mark.parametrize("net", NETS)
def test_p8_a_frozen_branch_is_deterministic_and_independent_of_its_batch(net):
    model = build({"a": branch(net, freeze=fk.Freeze.all())})
    perturb(model)
    model.train()
    x, other = images(), images(seed=1)
    mixed = torch.cat([x[:1], other[1:]])
    with torch.no_grad():
        first = model.embed(x)["a"]
        assert torch.equal(first, model.embed(x)["a"])
        assert torch.equal(first[0], model.embed(mixed)["a"][0])
        torch.testing.assert_close(first[0], model.embed(x[:1])["a"][0])


@pytest.mark.parametrize("epoch", [0, 1, 2, 3])
@pytest.mark.parametrize("net", NETS)
def test_p1_gradual_thawing_moves_what_has_thawed_and_nothing_else(net, epoch):
    model = build({"a": branch(net, freeze=fk.Freeze.gradual(), lr=fk.LR(0.5))})
    perturb(model)
    optimizer = OPTIMIZERS["adamw"](model.param_groups(lr=0.05, weight_decay=0.1))
    for earlier in range(epoch):
        model.train().set_epoch(earlier)
        train(model, optimizer, steps=1, seed=earlier)
    model.train().set_epoch(epoch)
    part = model.parts["a"]
    learning = part.learning(epoch)
    names = frozen_names(model)
    before = digest(model.branches["a"])
    train(model, optimizer)
    after = digest(model.branches["a"])
    path = model.branches["a"].trunk_path
    moved = {key for key in before if before[key] != after[key]}
    assert not moved & names
    assert {f"{path}.{key}".lstrip(".") for key in learning} <= moved


def test_frozen_stages_are_silent_though_later_ones_learn():
    """Noise of a root that drops by its own mode, and of a dropout that stages share."""
    for net in ("functional_noise", "shared_module"):
        model = build({"a": branch(net, freeze=fk.Freeze.last(1))}).train()
        with torch.no_grad():
            assert torch.equal(model.embed(images())["a"], model.embed(images())["a"]), net
        model = build({"a": branch(net, freeze=fk.Freeze.none())}).train()
        with torch.no_grad():
            assert not torch.equal(model.embed(images())["a"], model.embed(images())["a"]), net


def test_a_dropout_that_stages_share_without_naming_it_is_still_if_one_of_them_is():
    class Shares(SharedModule):
        def __init__(self, in_channels):
            super().__init__(in_channels)
            paths = {"one": ("one.0",), "two": ("two.0", "two.1"), "three": ("three.0",)}
            self.stages = tuple(fk.Stage(name, *blocks) for name, blocks in paths.items())

    def make(*, in_channels, weights, num_classes):
        return Shares(in_channels)

    settings = {"a": branch("shares", freeze=fk.Freeze.gradual())}
    model = fk.compose(settings, "odd/sum", 5, catalog=odd_catalog({"shares": make}))
    for epoch, drops in enumerate((False, False, False, True)):
        model.train().set_epoch(epoch)
        assert model.branches["a"].noise.training == drops, epoch
        model(images())


def test_a_norm_without_parameters_goes_with_the_stage_that_names_it():
    model = build({"a": branch("bare_norm", freeze=fk.Freeze.last(1))}).train()
    norms = model.branches["a"].norms
    assert [norm.training for norm in norms] == [False, False, True]
    model(images())
    assert [int(norm.num_batches_tracked) for norm in norms] == [0, 0, 1]


def test_a_dropout_that_no_block_names_goes_with_the_part_before_it():
    model = build({"a": branch("tiny", freeze=fk.Freeze.last(2))}).train()
    backbone = model.branches["a"]
    assert not backbone.drop.training  # after the stem, which is frozen
    assert backbone.body[2].training
    model = build({"a": branch("wrapped", freeze=fk.Freeze.last(1))}).train()
    backbone = model.branches["a"]
    assert backbone.noise.training  # after the trunk, whose last stage learns
    assert not backbone.trunk[0][3].training


def test_a_norm_with_one_frozen_parameter_keeps_its_statistics():
    model = build({"a": branch("tiny", freeze=fk.Freeze.only("bias"))}).train()
    before = model.branches["a"].stem[1].running_mean.clone()
    model(images())
    assert torch.equal(model.branches["a"].stem[1].running_mean, before)
    assert model.branches["a"].body[2].training  # its part learns, so it drops


def test_norm_eval_keeps_statistics_while_norm_parameters_learn():
    model = build({"a": branch("tiny", freeze=fk.Freeze.none(norm="eval"))}).train()
    norm = model.branches["a"].stem[1]
    before = digest(norm, {"running_mean", "running_var", "num_batches_tracked"})
    model(images()).sum().backward()
    assert norm.weight.grad is not None
    assert digest(norm, {"running_mean", "running_var", "num_batches_tracked"}) == before
    assert model.branches["a"].drop.training


def test_dropout_eval_never_drops_while_norms_follow():
    model = build({"a": branch("tiny", freeze=fk.Freeze.none(dropout="eval"))}).train()
    backbone = model.branches["a"]
    assert not backbone.drop.training
    assert not backbone.body[2].training
    assert backbone.stem[1].training


def test_maps_of_an_early_level_do_not_still_the_root():
    """Stages behind the last map that is read never run, so they freeze nothing."""
    model = build({"a": branch("tiny")}, fk.Head("odd/maps", level=0)).train()
    assert not model.branches["a"].top.weight.requires_grad
    assert model.branches["a"].training
    assert model.branches["a"].drop.training


def test_train_false_puts_everything_in_eval():
    model = build({"a": branch("tiny", freeze=fk.Freeze.all()), "b": branch("tiny")})
    model.train()
    assert model.training
    assert model.head.training
    assert model.branches["b"].training
    model.train(False)
    assert not any(module.training for module in model.modules())


def test_a_branch_fixed_by_its_author_stays_still():
    model = build({"a": branch("author_frozen")}).train()
    backbone = model.branches["a"]
    names = {"one.bias", "two.weight", "two.bias"}
    before = digest(backbone, names)
    train(model, OPTIMIZERS["sgd"](model.param_groups(lr=0.1, weight_decay=0.1)))
    assert digest(backbone, names) == before
