"""A checkpoint into a model that is there already: a branch of it, or all of it."""

from __future__ import annotations

import logging

import pytest
import torch
from odd_toys import OddNet, build, images
from safetensors.torch import save_file
from torch import nn

import fusionkit as fk


def compose(**settings):
    return build({name: fk.Branch("odd/odd", weights=None, **settings) for name in ("one", "two")})


def trained(seed=3):
    torch.manual_seed(seed)
    return OddNet()


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_branch_is_filled_under_its_stock_names(tmp_path):
    net, model = trained(), compose()
    before = state(model)
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    report = fk.load_weights(model, tmp_path / "net.safetensors", branch="one")
    expected = net.eval()(images(), fk.Reads(vector=True)).vector
    assert torch.equal(model.eval().embed(images())["one"], expected)
    for name, value in state(model).items():
        assert name.startswith("branches.one.") or torch.equal(before[name], value)
    assert model.load_reports == {"one": report}
    assert model.branches["one"].weights == "net.safetensors"
    assert len(report.loaded) == len(net.state_dict())


@pytest.mark.parametrize("word", ["", "model.", "module._orig_mod.", "state_dict.net."])
def test_the_whole_model_is_filled_also_from_other_trainers_files(tmp_path, word):
    source, model = compose(), compose()
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(0.5)
    save_file(
        {word + name: value for name, value in state(source).items()}, tmp_path / "m.safetensors"
    )
    report = fk.load_weights(model, str(tmp_path / "m.safetensors"))
    assert same(state(model), state(source))
    assert report.renamed == ({word: ""} if word else {})
    assert model.load_reports == {"one": report, "two": report}


def test_a_saved_folder_fills_a_model_and_a_changed_byte_is_refused(tmp_path):
    source, model = compose(), compose()
    with torch.no_grad():
        next(source.parameters()).add_(1)
    folder = fk.save(source, tmp_path / "saved")
    fk.load_weights(model, folder)
    assert same(state(model), state(source))
    file = folder / "model.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    before = state(model)
    with pytest.raises(fk.CheckpointError, match="has changed since it was saved"):
        fk.load_weights(model, folder)
    assert same(state(model), before)


@pytest.mark.parametrize("shards", [False, True])
def test_f028_a_changed_byte_of_a_saved_folder_fills_no_branch_either(tmp_path, shards):
    source, model = compose(), compose()
    folder = fk.save(source, tmp_path / "saved", max_shard_size="2KB" if shards else None)
    index = "model.safetensors.index.json" if shards else "model.safetensors"
    rest = {"rename": {"branches.one.": ""}, "ignore": ["branches.*", "head.*"]}
    for place in (folder, folder / index):
        fk.load_weights(model, fk.Weights(place, **rest), branch="one")
    assert torch.equal(model.branches["one"].one.weight, source.branches["one"].one.weight)
    file = max(folder.glob("*.safetensors"))
    raw = bytearray(file.read_bytes())
    raw[-5] ^= 1
    file.write_bytes(raw)
    before = state(model)
    for place in (folder, folder / index):
        with pytest.raises(fk.CheckpointError, match="has changed since it was saved"):
            fk.load_weights(model, fk.Weights(place, **rest), branch="one")
        with pytest.raises(fk.CheckpointError, match="has changed since it was saved"):
            fk.load_weights(model, place)
    assert same(state(model), before)


@pytest.mark.parametrize("text", ["{}", '{"name": "a web page", "icons": []}', "nothing of ours"])
def test_a_manifest_of_somebody_else_is_left_alone(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    save_file(trained().state_dict(), tmp_path / "net.safetensors")
    assert fk.load_weights(compose(), tmp_path / "net.safetensors", branch="one").loaded


def test_a_damaged_manifest_of_ours_is_refused(tmp_path):
    folder = fk.save(compose(), tmp_path / "saved")
    raw = bytearray((folder / "manifest.json").read_bytes())
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1
        (folder / "manifest.json").write_bytes(changed)
        with pytest.raises(fk.CheckpointError, match=r"manifest\.json"):
            fk.load_weights(compose(), folder / "model.safetensors")


def test_an_optimizer_made_before_goes_on_and_what_is_frozen_stays_frozen(tmp_path):
    model = compose(freeze=fk.Freeze.last(1)).train()
    optimizer = torch.optim.SGD(model.param_groups(lr=0.1))
    were = {name: (id(value), value.requires_grad) for name, value in model.named_parameters()}
    modes = {name: module.training for name, module in model.named_modules()}
    save_file(trained().state_dict(), tmp_path / "n.safetensors")
    fk.load_weights(model, tmp_path / "n.safetensors", branch="one")
    now = {name: (id(value), value.requires_grad) for name, value in model.named_parameters()}
    assert now == were
    assert {name: module.training for name, module in model.named_modules()} == modes
    before = state(model)
    model(images()).sum().backward()
    optimizer.step()
    moved = {name for name, value in state(model).items() if not torch.equal(value, before[name])}
    assert moved == {name for name, value in model.named_parameters() if value.requires_grad}


@pytest.mark.parametrize("branch", ["one", None])
def test_f034_a_file_that_does_not_fit_changes_nothing(tmp_path, branch):
    model = compose()
    tensors = state(trained() if branch else model)
    last = list(tensors)[-1]
    tensors[last] = torch.zeros(5, 5)
    save_file(tensors, tmp_path / "bad.safetensors")
    before, weights = state(model), model.branches["one"].weights
    with pytest.raises(fk.CheckpointError, match=r": \(5, 5\) in the file, "):
        fk.load_weights(model, tmp_path / "bad.safetensors", branch=branch)
    assert same(state(model), before)
    assert model.load_reports == {}
    assert model.branches["one"].weights == weights


def test_exceptions_are_named(tmp_path):
    model = compose()
    tensors = {**trained().state_dict(), "extra": torch.zeros(1)}
    save_file(tensors, tmp_path / "n.safetensors")
    with pytest.raises(fk.CheckpointError, match=r"exceptions are named in Weights"):
        fk.load_weights(model, tmp_path / "n.safetensors", branch="one")
    weights = fk.Weights(tmp_path / "n.safetensors", ignore=["extra"])
    assert fk.load_weights(model, weights, branch="one").ignored == ("extra",)
    whole = {name: value for name, value in state(model).items() if not name.startswith("head.")}
    save_file(whole, tmp_path / "m.safetensors")
    with pytest.raises(fk.CheckpointError, match=r"missing in the file \(head.*Exceptions are"):
        fk.load_weights(model, tmp_path / "m.safetensors")
    report = fk.load_weights(model, fk.Weights(tmp_path / "m.safetensors", missing=["head.*"]))
    assert all(name.startswith("head.") for name in report.kept)


@pytest.mark.parametrize("branch", [None, "one"])
def test_a_load_of_nothing_is_an_error(tmp_path, branch):
    named = {f"module.{name}": value for name, value in trained().state_dict().items()}
    save_file(named, tmp_path / "net.safetensors")
    everything = fk.Weights(tmp_path / "net.safetensors", ignore=["*"], missing=["*"])
    with pytest.raises(fk.CheckpointError, match="nothing would be loaded"):
        fk.load_weights(compose(), everything, branch=branch)


def test_a_trunk_for_the_whole_model_is_told_from_one(tmp_path):
    save_file(trained().state_dict(), tmp_path / "n.safetensors")
    with pytest.raises(fk.CheckpointError, match=r"all names of a branch: .*branch='one'\)"):
        fk.load_weights(compose(), tmp_path / "n.safetensors")


def test_a_branch_that_there_is_not_is_refused_with_those_that_there_are(tmp_path):
    with pytest.raises(fk.ConfigError, match=r"no branch 'on'. Did you mean 'one'\? It has"):
        fk.load_weights(compose(), tmp_path / "n.safetensors", branch="on")


def test_what_is_no_fused_model_is_refused():
    with pytest.raises(fk.ConfigError, match="takes a FusedModel, as compose gives it; got Linear"):
        fk.load_weights(nn.Linear(1, 1), "n.safetensors")
    with pytest.raises(fk.ConfigError, match=r"load_weights\(model.module, ...\)"):
        fk.load_weights(nn.DataParallel(compose()), "n.safetensors")


def test_f043_a_pickle_is_refused_by_name(tmp_path):
    with pytest.raises(fk.ConfigError, match=r"checkpoint convert best\.ckpt"):
        fk.load_weights(compose(), "best.ckpt")


def test_the_summary_and_the_log_say_what_was_not_loaded_as_it_stood(tmp_path, caplog):
    model = compose()
    tensors = {f"module.{name}": value.half() for name, value in trained().state_dict().items()}
    save_file(tensors, tmp_path / "n.safetensors")
    with caplog.at_level(logging.INFO, "fusionkit"):
        fk.load_weights(model, tmp_path / "n.safetensors", branch="one")
    assert "n.safetensors: 'module.' taken as '', 6 converted" in " ".join(
        str(model.summary()).split()
    )
    (record,) = caplog.records
    assert record.name == "fusionkit.weights"
    assert "renamed         1  module. -> (nothing)" in record.message
