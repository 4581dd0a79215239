"""From a recipe to a model, or to an error that names what was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from odd_toys import branch, build, images, odd_catalog
from torch import nn
from toys import SumHead, TinyNet

import fusionkit as fk
from fusionkit.assembly.compose import assemble


def test_branches_head_and_classes_make_a_model():
    model = build({"b": "tiny", "a": "odd"})
    assert list(model.branches) == list(model.parts) == ["a", "b"]
    assert model(images()).shape == (4, 5)
    assert model.epoch == 0
    assert model.provenance == dict.fromkeys(["head", "a", "b"], "a plugin given in Python")


def test_a_recipe_makes_the_same_model():
    torch.manual_seed(0)
    model = build({"a": "odd", "b": "tiny"}).eval()
    torch.manual_seed(0)
    again = fk.compose(model.recipe, catalog=odd_catalog()).eval()
    assert again.recipe == model.recipe
    assert torch.equal(again(images()), model(images()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda one: {"branches": one}, "compose needs a head, for example"),
        (lambda one: {"branches": one, "head": "odd/sum"}, "num_classes is missing"),
        (lambda one: {"branches": {}, "head": "odd/sum"}, "at least one branch"),
        (
            lambda one: {"branches": "x.yaml"},
            r"takes a recipe, not the path of one: compose\(read_recipe\('x\.yaml'\)\)",
        ),
        (
            lambda one: {"branches": Path("x.yaml"), "head": "odd/sum"},
            r"not the path of one: compose\(read_recipe\(\w*Path\('x\.yaml'\)\)\)",
        ),
        (lambda one: {"branches": one, "head": "odd/sum", "num_classes": 0}, "num_classes must be"),
        (
            lambda one: {"branches": {"a.b": one["a"]}, "head": "odd/sum"},
            "'a.b' cannot be the name",
        ),
        (
            lambda one: {"branches": {"keys": one["a"]}, "head": "odd/sum"},
            "'keys' cannot be the name",
        ),
        (lambda one: {"branches": one, "head": 3}, "the head must be a fusionkit.Head, got int"),
        (
            lambda one: {"branches": fk.Recipe(one, fk.Head("odd/sum"), 5), "num_classes": 5},
            "takes a recipe, or branches, head and num_classes; not both",
        ),
        (
            lambda one: {"branches": fk.Recipe(one, fk.Head("odd/sum"), 5), "preprocess": "inside"},
            "a recipe has its own `preprocess`",
        ),
    ],
)
def test_what_is_missing_or_too_much_is_told(call, message):
    with pytest.raises(fk.ConfigError, match=message):
        fk.compose(**call({"a": branch("odd")}), catalog=odd_catalog())


def test_f106_unknown_names_are_told_with_near_ones_and_the_branch():
    with pytest.raises(fk.ConfigError, match=r"branch 'a' \(odd/tinny\): .*'odd/tiny'"):
        build({"a": "tinny"})
    with pytest.raises(fk.ConfigError, match=r"branch 'a' \(od/tiny\): no plugin 'od'.*'odd'"):
        build({"a": fk.Branch("od/tiny", weights=None)})
    with pytest.raises(fk.ConfigError, match="odd/sum"):
        build({"a": "tiny"}, "odd/sun")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda inputs, *, num_classes: None, "gave NoneType instead of a fusionkit.FusionHead"),
        (lambda inputs, *, num_classes: nn.Linear(2, 2), "gave Linear instead"),
    ],
)
def test_what_is_no_head_is_refused(made, message):
    catalog = odd_catalog(heads={"made": made})
    with pytest.raises(fk.AssemblyError, match=f"head 'odd/made': .*{message}"):
        fk.compose({"a": branch("odd")}, "odd/made", 5, catalog=catalog)


def test_a_heads_own_failure_names_it():
    with pytest.raises(fk.AssemblyError, match=r"head 'odd/maps': .*failed: IndexError"):
        build({"a": "odd"}, fk.Head("odd/maps", level=7))

    class Refuses(SumHead):
        def __init__(self, inputs, *, num_classes):
            raise fk.ConfigError("three branches at least")

    catalog = odd_catalog(heads={"refuses": Refuses})
    with pytest.raises(fk.ConfigError, match="head 'odd/refuses': three branches at least"):
        fk.compose({"a": branch("odd")}, "odd/refuses", 5, catalog=catalog)


def test_a_head_sees_what_each_branch_offers_in_alphabetical_order():
    seen = {}

    class Looks(SumHead):
        def __init__(self, inputs, *, num_classes):
            seen.update(inputs)
            super().__init__(inputs, num_classes=num_classes)

    catalog = odd_catalog(heads={"looks": Looks})
    branches = {"b": branch("tiny"), "a": branch("classifies", classifier=True)}
    fk.compose(branches, "odd/looks", 4, catalog=catalog)
    assert list(seen) == ["a", "b"]
    assert seen["a"] == fk.HeadInput(8, (fk.Level(8, 2), fk.Level(8, 4), fk.Level(8, 8)), 4)
    assert seen["b"].num_classes is None


def test_without_weights_nothing_is_asked_of_the_provider(tmp_path):
    asked = []

    def make(*, in_channels, weights, num_classes):
        from odd_toys import OddNet

        asked.append(weights)
        net = OddNet(in_channels)
        net.weights = weights
        return net

    catalog = odd_catalog({"made": make})
    for weights in ("default", "tag", str(tmp_path / "absent.safetensors")):
        recipe = fk.Recipe({"a": fk.Branch("odd/made", weights=weights)}, fk.Head("odd/sum"), 5)
        assemble(recipe, catalog, load_weights=False)
        if not weights.endswith("safetensors"):
            assemble(recipe, catalog, load_weights=True)
    assert asked == [None, "default", None, "tag", None]


def test_one_branch_is_a_model_too():
    model = build({"only": branch("tokens", freeze=fk.Freeze.last(1))}).train()
    assert model(images()).shape == (4, 5)


def test_a_recipe_keeps_its_own_preprocess():
    recipe = fk.Recipe({"a": branch("tiny")}, fk.Head("odd/sum"), 5)
    assert fk.compose(recipe, preprocess="outside", catalog=odd_catalog()).recipe.preprocess
    for own, other in (("inside", "outside"), ("outside", "inside")):
        with pytest.raises(fk.ConfigError, match="a recipe has its own `preprocess`"):
            fk.compose(replace(recipe, preprocess=own), preprocess=other, catalog=odd_catalog())


def test_a_backbone_is_rebuilt_by_its_own_name_and_options(tmp_path):
    calls = []

    def make(*, in_channels, weights, num_classes, width=4):
        calls.append((weights, width))
        net = TinyNet(in_channels, 8 if weights else width)
        net.weights = weights
        net.rebuild = ("plain", {"width": 8}) if weights else None
        return net

    def gone(**_):
        raise AssertionError("the name in the recipe was asked")

    one = {"a": fk.Branch("odd/tagged", weights="large")}
    model = fk.compose(one, "odd/sum", 5, catalog=odd_catalog({"tagged": make}))
    catalog = odd_catalog({"tagged": gone, "plain": make})
    again = fk.load(fk.save(model, tmp_path / "once"), catalog=catalog)
    assert calls == [("large", 4), (None, 8)]
    assert again.recipe == model.recipe
    twice = fk.load(fk.save(again, tmp_path / "twice"), catalog=catalog)
    assert twice.recipe == model.recipe
    assert twice.branches["a"].rebuild == ("plain", {"width": 8})
    assert all(torch.equal(v, twice.state_dict()[n]) for n, v in model.state_dict().items())
