"""A branch and a saved model whose file is their memory are the same model, and train."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import fusionkit as fk


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    model = fk.compose({"a": fk.Branch("timm/test_resnet", weights=None)}, "concat", 3)
    path = tmp_path_factory.mktemp("weights") / "trunk.safetensors"
    fk.save_backbone(model, "a", path)
    return path


def build(checkpoint, **options):
    torch.manual_seed(1)
    branch = fk.Branch("timm/test_resnet", weights=fk.Weights(checkpoint, **options))
    return fk.compose({"a": branch}, "concat", 3)


def equal(one, other):
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


def step(model):
    optimizer = torch.optim.AdamW(model.param_groups(0.01))
    model.train()
    model(model.branches["a"].example(2)).square().sum().backward()
    optimizer.step()
    return model.eval()


def test_a_branch_is_the_same_and_trains_to_the_same_bits(checkpoint):
    before = checkpoint.read_bytes()
    read, mapped = build(checkpoint), build(checkpoint, mmap=True)
    assert equal(read, mapped)
    assert equal(step(read), step(mapped))
    assert not equal(mapped, build(checkpoint))
    assert checkpoint.read_bytes() == before


def test_load_weights_copies_from_the_map(checkpoint):
    model = fk.compose({"a": fk.Branch("timm/test_resnet", weights=None)}, "concat", 3)
    parameter = next(model.parameters())
    fk.load_weights(model, fk.Weights(checkpoint, mmap=True), branch="a")
    assert next(model.parameters()) is parameter
    trunk = build(checkpoint).branches["a"].state_dict()
    assert all(torch.equal(v, trunk[k]) for k, v in model.branches["a"].state_dict().items())


@pytest.mark.parametrize("shards", [None, "100KB"])
def test_a_saved_model_is_the_same_and_can_be_saved_in_its_own_place(tmp_path, checkpoint, shards):
    model = build(checkpoint).eval()
    fk.save(model, tmp_path / "model", max_shard_size=shards)
    mapped = fk.load(tmp_path / "model", mmap=True)
    assert equal(mapped, model)
    step(mapped)
    fk.save(mapped, tmp_path / "model", max_shard_size=shards)
    assert equal(fk.load(tmp_path / "model", mmap=True), mapped)
    assert equal(fk.from_pretrained(tmp_path / "model", mmap=True), mapped)


def test_copies_stand_on_their_own(checkpoint):
    mapped = build(checkpoint, mmap=True).eval()
    copied, revived = copy.deepcopy(mapped), pickle.loads(pickle.dumps(mapped))
    step(mapped)
    assert equal(copied, revived)
    assert not equal(copied, mapped)


def test_a_recipe_keeps_it(tmp_path, checkpoint):
    recipe = build(checkpoint, mmap=True).recipe
    file = tmp_path / "model.yaml"
    file.write_text(fk.format_recipe(recipe))
    assert fk.read_recipe(file).branches["a"].weights.mmap is True


def test_what_is_no_switch_is_refused(checkpoint):
    with pytest.raises(fk.ConfigError, match=r"Weights\.mmap is True or False; got 'yes'"):
        fk.Weights(checkpoint, mmap="yes")
