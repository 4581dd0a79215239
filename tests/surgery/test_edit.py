"""Branches come, go and are exchanged; what stays is bit for bit the same."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from surgery_toys import BRANCHES, CATALOG, INPUTS, assert_same, fused, memory_of, tensors_of
from toys import TinyNet, ToyPlugin

import fusionkit as fk

WIDER = fk.Branch("toy/tiny", weights=None, options={"width": 24}, freeze=fk.Freeze.last(1))


def replaced(model):
    return fk.replace_branch(model, "rgb", WIDER, catalog=CATALOG)


def added(model):
    vector = fk.Branch("toy/vector", weights=None, input="facts", in_channels=4)
    return fk.add_branch(model, "facts", vector, catalog=CATALOG)


def dropped(model):
    return fk.drop_branch(model, "rgb", catalog=CATALOG)


def headed(model):
    return fk.replace_head(model, "toy/sum", catalog=CATALOG)


EDITS = {"replace": replaced, "add": added, "drop": dropped, "head": headed}


def inputs_of(model):
    every = {**INPUTS, "facts": torch.ones(2, 4)}
    wanted = {branch.input for branch in model.recipe.branches.values()}
    return {name: each for name, each in every.items() if name in wanted}


@pytest.mark.parametrize("name", EDITS)
def test_what_stays_is_the_same_and_the_old_model_is_as_it_was(name):
    old = fused()
    before, recipe = tensors_of(old), old.recipe
    with torch.no_grad():
        embedded = old.embed(INPUTS)
    new, report = EDITS[name](old)
    assert_same(tensors_of(old), before)
    assert old.recipe == recipe
    assert not memory_of(old) & memory_of(new)
    staying = [
        each
        for each in new.recipe.branches
        if new.recipe.branches[each] == old.recipe.branches.get(each)
    ]
    assert staying
    with torch.no_grad():
        again = new.embed(inputs_of(new))
        assert new(inputs_of(new)).shape == (2, 3)
    for each in staying:
        assert_same(tensors_of(old.branches[each]), tensors_of(new.branches[each]))
        assert torch.equal(again[each], embedded[each])
        assert new.parts[each].anatomy == old.parts[each].anatomy
        frozen = {n for n, p in old.branches[each].named_parameters() if not p.requires_grad}
        assert frozen == {
            n for n, p in new.branches[each].named_parameters() if not p.requires_grad
        }
    assert new.epoch == old.epoch == 3
    assert not new.training
    assert set(report.kept) | set(report.fresh) == set(new.state_dict())
    assert set(report.left) | set(report.kept) == set(old.state_dict())
    for tensor in report.kept:
        assert torch.equal(new.state_dict()[tensor], old.state_dict()[tensor])


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_model_trains_and_is_saved_and_edited_again(name, tmp_path):
    fk.save(fused(), tmp_path / "old")
    new, _ = EDITS[name](fk.load(tmp_path / "old", catalog=CATALOG))
    new.train()
    optimizer = torch.optim.SGD(new.param_groups(lr=0.1))
    frozen = {n: p.detach().clone() for n, p in new.named_parameters() if not p.requires_grad}
    new(inputs_of(new)).square().sum().backward()
    optimizer.step()
    for parameter, value in frozen.items():
        assert torch.equal(new.get_parameter(parameter), value)
    fk.save(new, tmp_path / "new")
    again = fk.load(tmp_path / "new", catalog=CATALOG)
    assert_same(tensors_of(again), tensors_of(new))
    assert again.recipe == new.recipe
    last, _ = fk.replace_head(again, "toy/sum", catalog=CATALOG)
    assert_same(tensors_of(last.branches), tensors_of(again.branches))


def test_the_head_of_a_branch_that_stays_is_kept_and_the_rest_is_new():
    old = fused()
    new, report = replaced(old)
    assert torch.equal(new.head.out["flow"].weight, old.head.out["flow"].weight)
    assert {name for name in report.fresh if name.startswith("head.")} == {
        "head.out.rgb.weight",
        "head.out.rgb.bias",
    }
    assert ("head.out.rgb.weight", (3, 16), (3, 24)) in report.reshaped
    _, report = added(old)
    assert {name for name in report.fresh if name.startswith("head.")} == {
        "head.out.facts.weight",
        "head.out.facts.bias",
    }
    assert not report.left
    _, report = dropped(old)
    assert not report.fresh
    assert "head.out.rgb.bias" in report.left


def test_a_new_head_keeps_nothing_of_the_old_one():
    old = fused()
    new, report = fk.replace_head(old, "toy/sum", num_classes=3, catalog=CATALOG)
    assert not [name for name in report.kept if name.startswith("head.")]
    assert not torch.equal(new.head.out["flow"].weight, old.head.out["flow"].weight)


def test_a_head_that_reads_something_else_has_branches_learn_something_else():
    new, _ = fk.replace_head(fused(), fk.Head("toy/maps", level=0), catalog=CATALOG)
    assert not new.branches["flow"].top.weight.requires_grad
    assert new.branches["flow"].stem[0].weight.requires_grad
    assert new(INPUTS).shape == (2, 3)


def test_the_number_of_classes_changes_with_the_head():
    new, _ = fk.replace_head(fused(), "toy/sum", num_classes=7, catalog=CATALOG)
    assert new(INPUTS).shape == (2, 7)
    assert new.recipe.num_classes == 7


def test_the_mode_and_the_types_are_the_old_models():
    old = fused().double().train()
    new, _ = replaced(old)
    assert new.training
    assert {value.dtype for value in new.parameters()} == {torch.float64}
    flows = [each.branches["flow"] for each in (old, new)]
    modes = [{n: m.training for n, m in each.named_modules()} for each in flows]
    assert modes[0] == modes[1]
    assert {True, False} == set(modes[1].values())


def test_a_branch_of_another_type_stays_so():
    old = fused()
    old.branches["flow"].bfloat16()
    new, _ = headed(old)
    assert_same(tensors_of(new.branches), tensors_of(old.branches))


def test_the_new_branch_has_the_weights_that_it_asks_for(tmp_path):
    torch.manual_seed(5)
    trunk = TinyNet()
    path = tmp_path / "tiny.safetensors"
    save_file(trunk.state_dict(), path)
    new, _ = fk.replace_branch(
        fused(), "flow", fk.Branch("toy/tiny", weights=path), catalog=CATALOG
    )
    assert_same(tensors_of(new.branches["flow"]), tensors_of(trunk))
    assert new.branches["flow"].weights == "tiny.safetensors"


class Counting(ToyPlugin):
    """Notes which weights its backbones are asked for, and lets weights decide on the width."""

    def __init__(self):
        self.asked = []

    @fk.hookimpl
    def fusionkit_backbones(self):
        def tiny(*, in_channels=3, weights=None, num_classes=None, width=16):
            self.asked.append(weights)
            net = TinyNet(in_channels, 20 if weights else width)
            net.weights = weights
            net.rebuild = ("tiny", {"width": 20}) if weights else None
            return net

        return {"tiny": tiny}


def test_nothing_is_fetched_for_branches_that_stay(tmp_path):
    plugin = Counting()
    catalog = fk.Catalog().with_plugin("toy", plugin)
    branches = {"a": fk.Branch("toy/tiny"), "b": fk.Branch("toy/tiny", weights="in1k")}
    model = fk.compose(branches, "toy/sum", num_classes=2, catalog=catalog)
    fk.save(model, tmp_path / "m")
    for old in (model, fk.load(tmp_path / "m", catalog=catalog)):
        plugin.asked.clear()
        new, _ = fk.replace_branch(old, "b", fk.Branch("toy/tiny", weights="v2"), catalog=catalog)
        assert [each for each in plugin.asked if each] == ["v2"]
        assert_same(tensors_of(new.branches["a"]), tensors_of(old.branches["a"]))
        assert new.branches["a"].embed_dim == 20
        assert (new.branches["a"].weights, new.branches["b"].weights) == ("default", "v2")


def test_what_cannot_be_done_is_refused_and_changes_nothing(tmp_path):
    model = fused()
    before = tensors_of(model)
    with pytest.raises(fk.ConfigError, match=r"no branch 'rbg'.*Did you mean 'rgb'"):
        fk.drop_branch(model, "rbg", catalog=CATALOG)
    with pytest.raises(fk.ConfigError, match=r"no branch 'x', only 'rgb', 'flow'"):
        fk.replace_branch(model, "x", WIDER, catalog=CATALOG)
    with pytest.raises(fk.ConfigError, match=r"already; write replace_branch\(model, 'rgb'"):
        fk.add_branch(model, "rgb", WIDER, catalog=CATALOG)
    with pytest.raises(fk.ConfigError, match="only branch; exchange it with replace_branch"):
        fk.drop_branch(dropped(model).model, "flow", catalog=CATALOG)
    with pytest.raises(fk.ConfigError, match=r"must be a fusionkit\.Branch"):
        fk.add_branch(model, "new", "toy/tiny", catalog=CATALOG)
    with pytest.raises(fk.ConfigError, match="replace_head takes a FusedModel"):
        fk.replace_head(torch.nn.Linear(1, 1), "concat")
    with pytest.raises(fk.ConfigError, match=r"give its \.module, the model inside of it"):
        fk.drop_branch(torch.nn.DataParallel(model), "rgb", catalog=CATALOG)
    gone = fk.Branch("toy/tiny", weights=tmp_path / "gone.safetensors")
    with pytest.raises(fk.CheckpointError, match="there is no file"):
        fk.add_branch(model, "new", gone, catalog=CATALOG)
    assert_same(tensors_of(model), before)


def test_a_model_that_was_changed_by_hand_is_refused():
    model = fused()
    model.head.extra = torch.nn.Linear(2, 2)
    with pytest.raises(fk.AssemblyError, match=r"changed since it was composed: 'head\.extra"):
        dropped(model)
    with pytest.raises(fk.AssemblyError, match="no recipe says how"):
        headed(model)


def test_a_plugin_that_builds_something_else_now_is_told():
    class Changed(ToyPlugin):
        @fk.hookimpl
        def fusionkit_backbones(self):
            def tiny(*, in_channels=3, weights=None, num_classes=None):
                return TinyNet(in_channels, 12)

            return {"tiny": tiny}

    catalog = fk.Catalog().with_plugin("toy", Changed())
    with pytest.raises(fk.CheckpointError, match=r"branch 'flow' .* another shape .* has changed"):
        fk.drop_branch(fused(), "rgb", catalog=catalog)


def test_values_that_are_not_finite_are_told_with_their_branch():
    model = fused()
    with torch.no_grad():
        model.branches["flow"].top.weight[0, 0] = torch.nan
    with pytest.raises(fk.CheckpointError, match=r"branch 'flow' .*'top\.weight' holds NaN"):
        dropped(model)
    assert fk.drop_branch(model, "flow", catalog=CATALOG).model.embed(INPUTS["image"])


def test_real_models_keep_their_stock_classifier_until_the_classes_change():
    torch.manual_seed(0)
    branches = {
        "a": fk.Branch("timm/test_vit", weights=None),
        "b": fk.Branch("torchvision/squeezenet1_1", weights=None),
    }
    old = fk.compose(branches, "mean_logits", num_classes=1000).eval()
    images = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    third = fk.Branch("timm/resnet10t", weights=None)
    new, report = fk.add_branch(old, "c", third)
    assert not report.left
    assert new.branches["a"].num_classes == 1000
    with torch.no_grad():
        assert torch.equal(new.features(images)["b"].logits, old.features(images)["b"].logits)
    fewer, report = fk.replace_head(new, "mean_logits", num_classes=5)
    assert fewer.branches["a"].num_classes is None
    assert "branches.a.trunk.head.weight" in report.left
    assert_same(
        {n: v for n, v in tensors_of(new).items() if n in report.kept},
        {n: v for n, v in tensors_of(fewer).items() if n in report.kept},
    )
    assert fewer.eval()(images).shape == (2, 5)


def test_the_recipe_is_the_new_one():
    new, _ = replaced(fused())
    assert new.recipe.branches["rgb"].options == {"width": 24}
    assert new.recipe.branches["flow"].freeze == BRANCHES["flow"].freeze
    assert list(new.branches) == ["flow", "rgb"]
