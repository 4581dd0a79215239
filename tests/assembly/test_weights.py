"""A checkpoint of one's own fills a branch: strictly, but for what is named."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from pathlib import Path

import pytest
import torch
from odd_toys import Classifies, OddNet, Tied, build, images, odd_catalog
from safetensors.torch import save_file

import fusionkit as fk
from fusionkit.assembly.weights import note_source
from fusionkit.tensors.report import LoadReport
from fusionkit.tensors.source import TensorSource


def trained():
    torch.manual_seed(3)
    net = OddNet()
    return net, {name: value.clone() for name, value in net.state_dict().items()}


def compose(weights, **settings):
    return build({"a": fk.Branch("odd/odd", weights=weights, **settings)})


def report(model):
    return model.branches["a"].load_report


def assert_loaded(model, net):
    expected = net.eval()(images(), fk.Reads(vector=True)).vector
    assert torch.equal(model.eval().embed(images())["a"], expected)


@pytest.mark.parametrize("word", ["module.", "encoder_q.", "state_dict_ema.", "module._orig_mod."])
def test_f035_words_before_the_names_are_found_and_told(tmp_path, word):
    net, state = trained()
    save_file({word + name: value for name, value in state.items()}, tmp_path / "n.safetensors")
    model = compose(tmp_path / "n.safetensors")
    assert_loaded(model, net)
    assert report(model).renamed == {word: ""}
    assert set(report(model).loaded) == set(state)


def test_what_is_left_beside_them_must_be_named(tmp_path):
    net, state = trained()
    tensors = {f"backbone.{name}": value for name, value in state.items()}
    path = tmp_path / "n.safetensors"
    save_file({**tensors, "head.weight": torch.zeros(2)}, path)
    with pytest.raises(fk.CheckpointError, match=r"1 that the model does not have \(head.weight\)"):
        compose(path)
    model = compose(fk.Weights(path, ignore=["head.*"]))
    assert_loaded(model, net)
    assert report(model).ignored == ("head.weight",)


def test_two_copies_are_not_guessed_between(tmp_path):
    net, state = trained()
    path = tmp_path / "moco.safetensors"
    other = {name: value + 1 for name, value in state.items()}
    save_file(
        {
            **{f"encoder_q.{name}": value for name, value in state.items()},
            **{f"encoder_k.{name}": value for name, value in other.items()},
        },
        path,
    )
    with pytest.raises(fk.CheckpointError, match=r"more than one set .*rename=\{'encoder") as told:
        compose(path)
    (written,) = re.findall(r"Weights\([^()]*rename=\{'encoder_q\.': ''\}[^()]*\)", str(told.value))
    model = compose(eval(f"fk.{written}", {"fk": fk}))
    assert_loaded(model, net)
    assert {name.partition(".")[0] for name in report(model).ignored} == {"encoder_k"}


def test_what_is_left_over_is_not_for_want_of_a_renaming(tmp_path):
    _, state = trained()
    path = tmp_path / "moco.safetensors"
    sets = {f"{who}.{name}": value for who in ("q", "k") for name, value in state.items()}
    save_file({name: value.clone() for name, value in sets.items()}, path)
    with pytest.raises(fk.CheckpointError, match="6 that the model does not have") as told:
        compose(fk.Weights(path, rename={"q.": ""}))
    assert "With rename=" not in str(told.value)
    assert "nearest: with" not in str(told.value)


def test_a_first_layer_of_other_channels_is_told_as_what_to_write(tmp_path):
    torch.manual_seed(3)
    save_file(OddNet(in_channels=2).state_dict(), tmp_path / "n.safetensors")
    with pytest.raises(
        fk.CheckpointError, match=r"first layer is of 2 channels: write in_channels=2"
    ):
        compose(tmp_path / "n.safetensors")


def test_a_name_without_a_folder_is_told_as_a_path(tmp_path, monkeypatch):
    net, state = trained()
    (tmp_path / "mine").mkdir()
    save_file(state, tmp_path / "mine" / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    assert_loaded(compose(Path("mine")), net)
    with pytest.raises(fk.ConfigError, match=r"There is a 'mine' here; as a path, write '\./mine'"):
        fk.compose({"a": fk.Branch("timm/resnet10t", weights="mine")}, "concat", 2)
    with pytest.raises(fk.ConfigError, match="has no weights 'xxx"):
        fk.compose({"a": fk.Branch("timm/resnet10t", weights="x" * 300)}, "concat", 2)
    assert fk.Branch("odd/odd", weights=Path("a.safetensors")).weights == "a.safetensors"


def test_names_that_would_become_one_are_refused(tmp_path):
    _, state = trained()
    path = tmp_path / "n.safetensors"
    tensors = {f"a.{n}": v for n, v in state.items()} | {
        f"b.{n}": v.clone() for n, v in state.items()
    }
    save_file(tensors, path)
    with pytest.raises(fk.CheckpointError, match="would both be"):
        compose(fk.Weights(path, rename={"a.": "", "b.": ""}))


def test_the_nearest_is_told_with_how_to_write_it(tmp_path):
    _, state = trained()
    del state["two.bias"]
    path = tmp_path / "n.safetensors"
    save_file({f"module.{name}": value for name, value in state.items()}, path)
    with pytest.raises(
        fk.CheckpointError, match=r"with rename=\{'module\.': ''\} it has .*'two.bias' is missing"
    ):
        compose(path)
    model = compose(fk.Weights(path, rename={"module.": ""}, missing=["two.bias"]))
    assert report(model).kept == ("two.bias",)
    assert torch.equal(model.branches["a"].two.weight, state["two.weight"])
    assert model.branches["a"].two.bias.isfinite().all()


def test_several_beginnings_are_told_with_how_to_write_them(tmp_path):
    net, state = trained()
    path = tmp_path / "n.safetensors"
    places = {"one": "stem.", "two": "body.", "three": ""}
    save_file({places[n.partition(".")[0]] + n: v for n, v in state.items()}, path)
    with pytest.raises(fk.CheckpointError, match=r"write Weights\(\.\.\., rename=\{") as told:
        compose(path)
    (written,) = re.findall(r"rename=(\{[^}]*\})\)", str(told.value))
    model = compose(fk.Weights(path, rename=ast.literal_eval(written)))
    assert_loaded(model, net)


def test_a_wrong_renaming_is_answered_with_the_right_one(tmp_path):
    net, state = trained()
    path = tmp_path / "n.safetensors"
    save_file({f"encoder.{name}": value for name, value in state.items()}, path)
    with pytest.raises(
        fk.CheckpointError,
        match=r"No name in the file begins with 'encodr\.'\. With rename=\{'encoder\.': ''\} all",
    ):
        compose(fk.Weights(path, rename={"encodr.": ""}))
    model = compose(fk.Weights(path, rename={"encoder.": "", "module.": ""}))
    assert_loaded(model, net)
    assert report(model).renamed == {"encoder.": ""}  # the other did nothing


def test_what_does_not_fit_is_told_before_it_is_read(tmp_path, monkeypatch):
    _, state = trained()
    path = tmp_path / "n.safetensors"

    def read(self, *arguments, **options):
        raise AssertionError("it was read")

    monkeypatch.setattr(TensorSource, "read", read)
    right = state["one.weight"]
    for wrong, said in (
        (right[1:], "1 of another shape"),
        (right.int(), "only floating-point types are converted"),
    ):
        save_file({**state, "one.weight": wrong.contiguous()}, path)
        with pytest.raises(fk.CheckpointError, match=said):
            compose(path)
    with pytest.raises(fk.CheckpointError, match="nothing would be loaded"):
        compose(fk.Weights(path, rename={"": "x."}, ignore=["*"], missing=["*"]))


def test_a_tied_tensor_may_have_any_of_its_names(tmp_path):
    net = Tied()
    path = tmp_path / "n.safetensors"
    state = {f"model.{n}": v for n, v in net.state_dict().items() if n != "two.weight"}
    save_file(state, path)
    backbone = build({"a": fk.Branch("odd/tied", weights=path)}).branches["a"]
    assert torch.equal(backbone.two.weight, net.two.weight)
    assert backbone.three.weight is backbone.two.weight


def test_a_trunk_of_which_all_is_tied_is_found_too(tmp_path):
    class Twice(OddNet):
        def __init__(self):
            super().__init__()
            self.again = torch.nn.ModuleList([self.one, self.two, self.three])

    def factory(*, in_channels, weights, num_classes):
        return Twice()

    net, path = Twice(), tmp_path / "n.safetensors"
    state = {n: v.clone() for n, v in net.state_dict().items()}
    save_file({f"module.{name}": value for name, value in state.items()}, path)
    branch = fk.Branch("odd/twice", weights=path)
    model = fk.compose({"a": branch}, "odd/sum", 5, catalog=odd_catalog({"twice": factory}))
    assert torch.equal(model.branches["a"].two.weight, net.two.weight)


def test_a_classifier_that_no_key_declares_is_kept_for_a_head_that_reads_it(tmp_path):
    torch.manual_seed(3)
    net, path = Classifies(3, 5), tmp_path / "n.safetensors"
    save_file(net.state_dict(), path)
    model = build({"a": fk.Branch("odd/classifies", weights=path)}, "odd/logits")
    assert torch.equal(model.branches["a"].fc.weight, net.fc.weight)
    with pytest.raises(fk.CheckpointError, match=r"does not have \(fc"):
        build({"a": fk.Branch("odd/classifies", weights=path, classifier=False)})


def test_a_checksum_is_held_against_the_file(tmp_path):
    net, state = trained()
    path = tmp_path / "n.safetensors"
    save_file(state, path)
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert_loaded(compose(fk.Weights(path, sha256=right)), net)
    with pytest.raises(fk.CheckpointError, match=f"checksum differs: it is {right}"):
        compose(fk.Weights(path, sha256=right.replace(right[0], "0" if right[0] != "0" else "1")))


def test_a_folder_of_shards(tmp_path):
    net, state = trained()
    names = list(state)
    places = {}
    for number, held in enumerate((names[:2], names[2:])):
        file = f"model-{number}.safetensors"
        save_file({name: state[name] for name in held}, tmp_path / file)
        places |= dict.fromkeys(held, file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    model = compose(str(tmp_path))
    assert_loaded(model, net)
    assert report(model).source == str(tmp_path)


def test_adapted_first_layers_are_told(tmp_path):
    _, state = trained()
    save_file(state, tmp_path / "n.safetensors")
    model = compose(tmp_path / "n.safetensors", in_channels=1)
    assert report(model).adapted == (("one.weight", (8, 3, 3, 3), (8, 1, 3, 3)),)
    expected = state["one.weight"].sum(1, keepdim=True)
    assert torch.equal(model.branches["a"].one.weight, expected)


def test_the_trunk_owns_what_it_was_filled_with(tmp_path):
    _, state = trained()
    save_file(state, tmp_path / "n.safetensors")
    one, other = (compose(tmp_path / "n.safetensors").branches["a"] for _ in range(2))
    memory = [p.untyped_storage().data_ptr() for net in (one, other) for p in net.parameters()]
    assert len(set(memory)) == len(memory)
    assert all(isinstance(p, torch.nn.Parameter) and p.requires_grad for p in one.parameters())
    with torch.no_grad():
        one.one.weight.add_(1)
    assert torch.equal(other.one.weight, state["one.weight"])


def test_other_types_are_converted_and_told(tmp_path):
    _, state = trained()
    half = {n: v.half() if v.is_floating_point() else v for n, v in state.items()}
    save_file(half, tmp_path / "n.safetensors")
    model = compose(tmp_path / "n.safetensors")
    assert model.branches["a"].one.weight.dtype == torch.float32
    assert ("one.weight", "torch.float16", "torch.float32") in report(model).converted


def test_position_embeddings_are_resized_only_when_asked(tmp_path):
    class Positions(OddNet):
        def __init__(self, in_channels=3, places=26):
            super().__init__(in_channels)
            self.positions = torch.nn.Parameter(torch.zeros(1, places, 4))
            self.stages = (fk.Stage("positions", "positions"), *self.stages)

    def make(places):
        def factory(*, in_channels, weights, num_classes):
            return Positions(in_channels, places)

        return factory

    path = tmp_path / "n.safetensors"
    small = Positions(places=17)
    torch.nn.init.normal_(small.positions)
    save_file(small.state_dict(), path)
    catalog = odd_catalog({"large": make(26)})

    def build_large(weights):
        branch = fk.Branch("odd/large", weights=weights)
        return fk.compose({"a": branch}, "odd/sum", 5, catalog=catalog)

    with pytest.raises(fk.CheckpointError, match=r"'positions' has shape|positions: \(1, 17, 4\)"):
        build_large(path)
    model = build_large(fk.Weights(path, resize=["pos*"]))
    assert report(model).resized == (("positions", (1, 17, 4), (1, 26, 4)),)
    assert torch.equal(model.branches["a"].positions[:, 0], small.positions[:, 0])


def test_whose_weights_they_were_is_not_said_of_others(tmp_path):
    _, state = trained()
    save_file(state, tmp_path / "n.safetensors")
    model = compose(None)
    backbone = model.branches["a"]
    backbone.license, backbone.base_model = "mit", "owner/before"
    for source, name in ((tmp_path / "n.safetensors", None), ("hf-hub:owner/now@v1", "owner/now")):
        note_source(backbone, fk.Weights(source), LoadReport())
        assert (backbone.license, backbone.base_model) == (None, name)
