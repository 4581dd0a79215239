"""What must hold for every backbone, shown for one of each kind."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toys import perturb
from zoo import SMALL, ZOO, Specimen, changed, digest, identify

import fusionkit as fk

every = pytest.mark.parametrize("specimen", ZOO, ids=identify)
every_small = pytest.mark.parametrize("specimen", SMALL, ids=identify)


def compose(specimen: Specimen, head: str = "concat", **branch: object) -> fk.FusedModel:
    torch.manual_seed(0)
    model = fk.compose({"a": specimen.branch(**branch)}, head=head, num_classes=4)
    perturb(model)
    return model


def train(model: fk.FusedModel, specimen: Specimen, steps: int, optimizer=None, **zero) -> None:
    if optimizer is None:
        groups = model.param_groups(lr=1e-2, weight_decay=0.1)
        optimizer = torch.optim.SGD(groups, momentum=0.9)
    for step in range(steps):
        labels = torch.arange(2) % 4
        out = model.train()(specimen.example(2, seed=step))
        nn.functional.cross_entropy(out, labels).backward()
        optimizer.step()
        optimizer.zero_grad(**zero)


@every
def test_p1_a_frozen_branch_keeps_every_bit(specimen: Specimen) -> None:
    model = compose(specimen, freeze=fk.Freeze.all())
    backbone = model.branches["a"]
    before = digest(backbone)
    x = specimen.example(2)
    answer = model.eval().embed(x)["a"]
    train(model, specimen, 2, set_to_none=False)
    assert changed(backbone, before) == []
    assert torch.equal(model.eval().embed(x)["a"], answer)


@every
def test_p8_a_frozen_branch_is_deterministic_in_train_mode(specimen: Specimen) -> None:
    model = compose(specimen, freeze=fk.Freeze.all()).train()
    x = specimen.example(3)
    with torch.no_grad():
        first, second = model.embed(x)["a"], model.embed(x)["a"]
        alone = model.embed(x[:1])["a"]
    assert torch.equal(first, second)
    scale = float(first.abs().max())
    torch.testing.assert_close(alone[0] / scale, first[0] / scale, rtol=0, atol=1e-4)


@every_small
def test_p1_a_partly_frozen_branch_keeps_its_frozen_part(specimen: Specimen) -> None:
    model = compose(specimen)
    stages = model.parts["a"].anatomy.stages
    model = compose(specimen, freeze=fk.Freeze.until(stages[len(stages) // 2]))
    part = model.parts["a"]
    frozen = {slot.name for slot in part.anatomy.slots} - part.learning(0)
    trunk = model.get_submodule("branches.a").get_submodule(model.branches["a"].trunk_path)
    model.train()
    still = {name for name, module in trunk.named_modules() if not module.training}
    before = digest(trunk)
    train(model, specimen, 2)
    moved = set(changed(trunk, before))
    assert moved & frozen == set()
    buffers = {name for name, _ in trunk.named_buffers()}
    assert {name for name in moved & buffers if name.rpartition(".")[0] in still} == set()
    assert moved, "nothing moved at all"


@every
def test_p2_what_learns_is_what_moves_and_what_the_optimizer_has(specimen: Specimen) -> None:
    model = compose(specimen)
    groups = model.param_groups(lr=1e-2)
    ids = [id(value) for group in groups for value in group["params"]]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(value) for value in model.parameters()}
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    model.train()
    torch.manual_seed(1)
    out = model(specimen.example(2))
    (out * torch.randn(out.shape)).sum().backward()
    dead = [n for n, v in model.named_parameters() if v.requires_grad and v.grad is None]
    assert dead == []
    fixed = [n for n, v in model.named_parameters() if not v.requires_grad]
    torch.optim.SGD(groups).step()
    moved = {n for n, v in model.named_parameters() if not torch.equal(v, before[n])}
    assert moved & set(fixed) == set()


@every
def test_stages_are_complete_and_in_running_order(specimen: Specimen) -> None:
    model = compose(specimen).eval()
    part = model.parts["a"]
    trunk = model.branches["a"].get_submodule(model.branches["a"].trunk_path)
    assert sorted(slot.name for slot in part.anatomy.slots) == sorted(
        name for name, _ in trunk.named_parameters()
    )
    assert len(part.anatomy.stages) >= 3
    stage_of = {slot.name: slot.stage for slot in part.anatomy.slots}
    first_run: dict[int, int] = {}
    clock = 0

    def hook_for(stage: int):
        def hook(module: nn.Module, inputs: object) -> None:
            nonlocal clock
            first_run.setdefault(stage, clock)
            clock += 1

        return hook

    handles = []
    for path, module in trunk.named_modules():
        for name, _ in module.named_parameters(path, recurse=False):
            if path and name in stage_of:
                handles.append(module.register_forward_pre_hook(hook_for(stage_of[name])))
    with torch.no_grad():
        model(specimen.example(1))
    for handle in handles:
        handle.remove()
    ran = [first_run[stage] for stage in sorted(first_run)]
    assert ran == sorted(ran), dict(zip(part.anatomy.stages, ran, strict=False))


@every
def test_levels_are_what_comes_out(specimen: Specimen) -> None:
    backbone = compose(specimen).eval().branches["a"]
    assert backbone.levels, "no levels declared"
    reads = fk.Reads(vector=True, maps="all").resolve(len(backbone.levels))
    with torch.no_grad():
        features = backbone(specimen.example(2), reads)
    assert features.vector.shape == (2, backbone.embed_dim)
    assert len(features.maps) == len(backbone.levels)
    for level, value in zip(backbone.levels, features.maps, strict=True):
        assert value.shape[:2] == (2, level.channels)
        expected = specimen.shape[-1] / level.stride
        borders = 5  # convolutions without padding lose some
        assert abs(value.shape[-1] - expected) <= borders, (level, value.shape)


@every_small
def test_maps_alone_leave_nothing_without_a_gradient(specimen: Specimen) -> None:
    torch.manual_seed(0)
    head = fk.Head("two_stream_maps", level=1)
    model = fk.compose({"a": specimen.branch(), "b": specimen.branch()}, head, num_classes=3)
    x = specimen.example(2)
    model.train()(x).square().mean().backward()
    dead = [n for n, v in model.named_parameters() if v.requires_grad and v.grad is None]
    assert dead == []


@every_small
def test_p4_what_is_frozen_again_stays(specimen: Specimen) -> None:
    model = compose(specimen, freeze=fk.Freeze.gradual(start=1))
    groups = model.param_groups(lr=1e-2, weight_decay=0.1)
    optimizer = torch.optim.AdamW(groups)
    model.set_epoch(50)
    train(model, specimen, 2, optimizer, set_to_none=False)
    out = model(specimen.example(2))
    out.square().mean().backward()
    model.set_epoch(0)
    before = digest(model.branches["a"])
    optimizer.step()
    train(model, specimen, 2, optimizer, set_to_none=False)
    assert changed(model.branches["a"], before) == []
