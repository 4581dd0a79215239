"""What two models share is copied by names and shapes, or nothing is."""

from __future__ import annotations

import pytest
import torch
from surgery_toys import BRANCHES, CATALOG, assert_same, fused, tensors_of
from toys import ToyPlugin

import fusionkit as fk

VECTOR = fk.Branch("toy/vector", weights=None, input="facts", in_channels=4)


def part(model, prefix):
    return {n: v for n, v in tensors_of(model).items() if n.startswith(prefix)}


def test_equal_models_are_equal_afterwards_and_parameters_stay_objects():
    source, target = fused(0), fused(1)
    objects = [id(each) for each in target.parameters()]
    before = tensors_of(source)
    report = fk.copy_matching(source, target)
    assert_same(tensors_of(target), before)
    assert_same(tensors_of(source), before)
    assert [id(each) for each in target.parameters()] == objects
    assert set(report.loaded) == set(target.state_dict())
    assert not report.kept


def test_only_what_is_named_is_copied():
    source, target = fused(0), fused(1)
    rest = {**part(target, "branches.flow."), **part(target, "head.")}
    report = fk.copy_matching(source, target, branches=["rgb"], head=False)
    assert_same({n: v for n, v in tensors_of(target).items() if n in rest}, rest)
    assert_same(part(target, "branches.rgb."), part(source, "branches.rgb."))
    assert set(report.kept) == set(rest)


def test_the_head_alone():
    source, target = fused(0), fused(1)
    trunk = part(target, "branches.")
    fk.copy_matching(source, target, branches=[])
    assert_same(part(target, "head."), part(source, "head."))
    assert_same(part(target, "branches."), trunk)


def test_models_that_share_some_branches():
    source, target = fused(0), fused(1, rgb=BRANCHES["rgb"], facts=VECTOR)
    before = tensors_of(target)
    with pytest.raises(fk.CheckpointError, match=r"head\.out\.facts.*except_for=\['head\.\*'\]"):
        fk.copy_matching(source, target)
    assert_same(tensors_of(target), before)
    report = fk.copy_matching(source, target, except_for=["head.out.facts.*", "head.out.flow.*"])
    assert_same(part(target, "head.out.rgb"), part(source, "head.out.rgb"))
    assert_same(part(target, "branches.rgb"), part(source, "branches.rgb"))
    assert_same(part(target, "branches.facts"), {n: v for n, v in before.items() if "s.facts" in n})
    assert "head.out.facts.weight" in report.kept
    assert "head.out.rgb.weight" in report.loaded


def test_a_layer_that_reads_other_branches_is_not_copied_unless_it_is_named():
    def concat(flow):
        branches = {"classifier": BRANCHES["rgb"], flow: BRANCHES["flow"]}
        catalog = fk.Catalog.installed().with_plugin("toy", ToyPlugin())
        return fk.compose(branches, "concat", 3, catalog=catalog)

    source, target = concat("flow"), concat("depth")
    before = tensors_of(target)
    with pytest.raises(
        fk.CheckpointError,
        match=r"'head\.\S+' has learned from the branches classifier, flow, but would read "
        r"classifier, depth\. Nothing was copied; .*head=False",
    ):
        fk.copy_matching(source, target)
    assert_same(tensors_of(target), before)
    fk.copy_matching(source, target, except_for=["head.*"])
    assert_same(part(target, "head."), part(source, "head."))


def test_another_shape_is_an_error_unless_it_is_named():
    source = fused(0)
    target = fk.replace_head(fused(1), "toy/sum", num_classes=4, catalog=CATALOG).model
    before = tensors_of(target)
    with pytest.raises(fk.CheckpointError, match=r"4 of another shape .*Nothing was copied"):
        fk.copy_matching(source, target)
    assert_same(tensors_of(target), before)
    report = fk.copy_matching(source, target, except_for=["head.*"])
    assert_same(part(target, "head."), part(target, "head."))
    assert len(report.kept) == 4
    assert_same(part(target, "branches."), part(source, "branches."))


def test_an_optimizer_goes_on_and_types_are_the_targets():
    source, target = fused(0), fused(1).double().train()
    optimizer = torch.optim.SGD(target.param_groups(lr=0.1))
    report = fk.copy_matching(source, target)
    assert target.head.out["rgb"].weight.dtype == torch.float64
    assert report.converted
    value = target.head.out["rgb"].bias.detach().clone()
    target.head.out["rgb"].bias.sum().backward()
    optimizer.step()
    assert torch.equal(target.head.out["rgb"].bias, value - 0.1)
    assert target.training


def test_what_is_written_wrong():
    model, other = fused(), fused(facts=VECTOR)
    with pytest.raises(fk.ConfigError, match=r"no branch 'rbg'.*Did you mean 'rgb'"):
        fk.copy_matching(model, model, branches=["rbg"])
    with pytest.raises(fk.ConfigError, match="no branch 'rgb', only 'facts'"):
        fk.copy_matching(model, other, branches=["rgb"])
    with pytest.raises(fk.ConfigError, match="are lists of text"):
        fk.copy_matching(model, model, branches="rgb")
    with pytest.raises(fk.ConfigError, match="there is nothing to copy"):
        fk.copy_matching(model, other, head=False)
    with pytest.raises(fk.ConfigError, match="copy_matching takes a FusedModel"):
        fk.copy_matching(model, model.head)


def test_values_that_are_not_finite_are_not_copied():
    source, target = fused(0), fused(1)
    before = tensors_of(target)
    with torch.no_grad():
        source.head.out["rgb"].bias[0] = torch.nan
    with pytest.raises(fk.CheckpointError, match=r"'head\.out\.rgb\.bias' holds NaN"):
        fk.copy_matching(source, target)
    assert_same(tensors_of(target), before)
