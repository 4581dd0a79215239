"""What a factory gives is checked, and its weights are filled in from a file."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from odd_toys import Classifies, OddNet, Wrapped, branch, build, images, odd_catalog
from safetensors.torch import save_file
from torch import nn
from toys import SumHead

import fusionkit as fk


def compose(make, head="odd/sum", heads=(), num_classes=5, **settings):
    """Composes one branch ``a`` of what ``make`` gives, called as a factory."""
    catalog = odd_catalog({"made": make}, heads)
    settings.setdefault("weights", None)
    return fk.compose({"a": fk.Branch("odd/made", **settings)}, head, num_classes, catalog=catalog)


def giving(change):
    def make(*, in_channels, weights, num_classes):
        backbone = OddNet(in_channels)
        change(backbone)
        return backbone

    return make


HERE = r"branch 'a' \(odd/made\): "


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "gave NoneType instead of a fusionkit.Backbone"),
        (nn.Linear(2, 2), "gave Linear instead of a fusionkit.Backbone"),
        (OddNet, "gave ABCMeta instead of a fusionkit.Backbone"),
        (SimpleNamespace(embed_dim=3), "gave SimpleNamespace instead"),
    ],
)
def test_what_is_no_backbone_is_refused(made, message):
    with pytest.raises(fk.AssemblyError, match=HERE + ".*" + message):
        compose(lambda *, in_channels, weights, num_classes: made)


@pytest.mark.parametrize("width", [0, -1, "8", None, True, 8.0])
def test_f017_a_width_that_is_none_is_refused(width):
    with pytest.raises(fk.AssemblyError, match=HERE + "its `embed_dim` must be the width .* got"):
        compose(giving(lambda net: setattr(net, "embed_dim", width)))


def test_f017_a_width_that_is_not_the_vectors_is_refused_when_composed():
    with pytest.raises(fk.AssemblyError, match=HERE + r".*a vector 'b 16', gave \(2, 8\)"):
        compose(giving(lambda net: setattr(net, "embed_dim", 16)))


@pytest.mark.parametrize("levels", [None, [fk.Level(8, 2)], ((8, 2),), 3])
def test_levels_that_are_none_are_refused(levels):
    with pytest.raises(
        fk.AssemblyError, match=HERE + "its `levels` must be a tuple of fusionkit.L"
    ):
        compose(giving(lambda net: setattr(net, "levels", levels)))


def test_channels_that_a_factory_ignores_are_refused():
    with pytest.raises(fk.AssemblyError, match="takes 3 channels, but in_channels=5 was asked for"):
        compose(lambda *, in_channels, weights, num_classes: OddNet(3), in_channels=5)


def test_a_layer_called_stages_and_stages_that_miss_a_parameter_are_refused():
    class Layer(OddNet):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            del self.stages
            self.stages = nn.Sequential(nn.Conv2d(8, 8, 3))

    with pytest.raises(
        fk.AssemblyError, match=HERE + ".*a layer of that name has to be called oth"
    ):
        compose(lambda *, in_channels, weights, num_classes: Layer(in_channels))
    short = giving(lambda net: setattr(net, "stages", net.stages[:2]))
    with pytest.raises(fk.AssemblyError, match=HERE + "2 of 6 parameters are in no stage"):
        compose(short)


def test_stages_that_nobody_declared_are_measured():
    model = compose(giving(lambda net: delattr(net, "stages")))
    assert model.parts["a"].anatomy.stages == ("one", "two", "three")


# what the head reads


def test_a_head_of_maps_over_a_backbone_of_vectors_is_refused():
    with pytest.raises(
        fk.AssemblyError, match=r"branch 'a' \(odd/vector\): the backbone has no maps"
    ):
        build({"a": branch("vector", in_channels=4)}, fk.Head("odd/maps", level=0))


def test_a_level_that_does_not_exist_is_refused():
    class Deep(SumHead):
        def __init__(self, inputs, *, num_classes):
            super().__init__(inputs, num_classes=num_classes)
            self.reads = fk.Reads(maps=(3,))

    with pytest.raises(fk.AssemblyError, match=HERE + "level 3 does not exist: .* 3 levels"):
        compose(giving(lambda net: None), "odd/deep", {"deep": Deep})


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        (None, "head does not say what it reads of it: set `reads` .* got None"),
        ({"b": "vector"}, "head does not say what it reads of it"),
        ("tokens", "a head cannot read 'tokens'"),
    ],
)
def test_a_head_that_does_not_say_what_it_reads_is_refused(reads, message):
    class Silent(SumHead):
        def __init__(self, inputs, *, num_classes):
            super().__init__(inputs, num_classes=num_classes)
            self.reads = reads

    with pytest.raises(fk.AssemblyError, match=HERE + ".*" + message):
        compose(giving(lambda net: None), "odd/silent", {"silent": Silent})


def test_a_head_may_read_each_branch_in_its_own_way():
    class Mixed(SumHead):
        def __init__(self, inputs, *, num_classes):
            super().__init__(inputs, num_classes=num_classes)
            self.reads = {"a": "vector", "b": fk.Reads(maps=(-1,))}

        def forward(self, features):
            assert features["a"].maps == ()
            pooled = features["b"].maps[0].mean((2, 3))
            return self.out["a"](features["a"].vector) + self.out["b"](pooled)

    catalog = odd_catalog(heads={"mixed": Mixed})
    branches = {"a": branch("odd"), "b": branch("odd")}
    model = fk.compose(branches, "odd/mixed", 5, catalog=catalog)
    assert model(images()).shape == (4, 5)
    assert model.parts["b"].reads.levels == (2,)


# classifiers


def test_a_head_of_logits_keeps_classifiers_that_fit():
    model = build({"a": "classifies"}, "odd/logits", num_classes=4)
    assert model(images()).shape == (4, 4)
    assert model.recipe.branches["a"].classifier is True
    assert build({"a": "classifies"}).branches["a"].num_classes is None
    kept = build({"a": branch("classifies", classifier=True)}, num_classes=4)
    assert kept.branches["a"].num_classes == 4
    assert not kept.branches["a"].fc.weight.requires_grad  # nobody reads it


@pytest.mark.parametrize("head", ["odd/sum", "odd/logits"])
def test_a_classifier_that_is_asked_for_but_not_there_is_refused(head):
    with pytest.raises(
        fk.ConfigError, match=r"branch 'a' \(odd/odd\): it has no classifier of its own for 5"
    ):
        build({"a": branch("odd", classifier=True)}, head)
    with pytest.raises(
        fk.ConfigError, match="it has no classifier of its own for 5 classes; leave"
    ):
        compose(lambda *, in_channels, weights, num_classes: Classifies(3, 7), classifier=True)


@pytest.mark.parametrize("classifier", [None, False])
def test_a_head_of_logits_over_a_backbone_without_them_is_refused(classifier):
    kind = "odd" if classifier is None else "classifies"
    with pytest.raises(
        fk.AssemblyError, match="the head reads logits, but the backbone has no clas"
    ):
        build({"a": branch(kind, classifier=classifier)}, "odd/logits")


# weights


def trained(kind=OddNet, **options):
    torch.manual_seed(3)
    net = kind(**options)
    return net, {name: value.clone() for name, value in net.state_dict().items()}


def from_file(path, **settings):
    return build({"a": fk.Branch("odd/odd", weights=path, **settings)})


def test_a_file_fills_the_trunk_by_its_own_names(tmp_path):
    net, state = trained()
    save_file(state, tmp_path / "net.safetensors")
    model = from_file(tmp_path / "net.safetensors").eval()
    reads = fk.Reads(vector=True)
    assert torch.equal(model.embed(images())["a"], net(images(), reads).vector)
    assert model.branches["a"].weights == "net.safetensors"
    wrapped = trained(Wrapped)[0]
    save_file(wrapped.trunk.state_dict(), tmp_path / "stock.SAFETENSORS")
    model = build({"a": fk.Branch("odd/wrapped", weights=str(tmp_path / "stock.SAFETENSORS"))})
    assert torch.equal(model.eval().embed(images())["a"], wrapped.eval()(images(), reads).vector)


@pytest.mark.parametrize("channels", [1, 3, 20])
def test_a_first_layer_is_adapted_to_other_channels(tmp_path, channels):
    net, state = trained()
    save_file(state, tmp_path / "net.safetensors")
    model = from_file(tmp_path / "net.safetensors", in_channels=channels)
    wanted = fk.adapt_input_channels(state["one.weight"], channels)
    assert torch.equal(model.branches["a"].one.weight, wanted)
    assert torch.equal(model.branches["a"].two.weight, state["two.weight"])
    if channels == 1:
        grey = images(channels=1)
        equal = net(grey.expand(-1, 3, -1, -1), fk.Reads(vector=True)).vector
        torch.testing.assert_close(model.eval().embed(grey)["a"], equal)


def test_a_file_that_already_has_the_channels_is_taken_as_it_is(tmp_path):
    _, state = trained(in_channels=20)
    save_file(state, tmp_path / "net.safetensors")
    model = from_file(tmp_path / "net.safetensors", in_channels=20)
    assert torch.equal(model.branches["a"].one.weight, state["one.weight"])


def test_f035_a_file_that_does_not_fit_names_branch_file_and_tensor(tmp_path):
    _, state = trained()
    path = tmp_path / "net.safetensors"
    save_file({f"net_{name}": value for name, value in state.items()}, path)
    pattern = r"branch 'a' \(odd/odd\): .*net\.safetensors does not fit: 6 missing .*one\.weight"
    with pytest.raises(fk.CheckpointError, match=pattern):
        from_file(path)
    save_file({name: value for name, value in state.items() if name != "two.bias"}, path)
    with pytest.raises(fk.CheckpointError, match=r"1 missing in the file \(two\.bias\).*provider"):
        from_file(path)
    save_file({**state, "one.weight": torch.zeros(8, 5, 3, 3)}, path)
    with pytest.raises(fk.CheckpointError, match=r"one\.weight: \(8, 5, 3, 3\) in the file"):
        from_file(path)
    save_file({**state, "one.weight": torch.zeros(3)}, path)
    with pytest.raises(fk.CheckpointError, match=r"one\.weight: \(3,\) in the file"):
        from_file(path, in_channels=2)


def test_a_file_that_is_none_or_no_safetensors_is_refused(tmp_path):
    with pytest.raises(fk.CheckpointError, match=r"branch 'a' \(odd/odd\): .*absent\.safetensors"):
        from_file(tmp_path / "absent.safetensors")
    (tmp_path / "page.safetensors").write_text("<!DOCTYPE html><html></html>")
    with pytest.raises(fk.CheckpointError, match=r"branch 'a' .*page\.safetensors"):
        from_file(tmp_path / "page.safetensors")


@pytest.mark.parametrize(
    "name", ["net.pt", "net.PTH", "pytorch_model.bin", "last.ckpt", "n.pth.tar"]
)
def test_f043_a_pickle_is_refused_without_being_opened(tmp_path, name):
    (tmp_path / name).write_bytes(b"never read")
    with pytest.raises(fk.ConfigError, match=r"branch 'a' .*may run code .*checkpoint convert"):
        from_file(tmp_path / name)


@pytest.mark.parametrize("weights", ["default", "imagenet"])
def test_weights_that_a_backbone_has_not_are_refused(weights):
    with pytest.raises(
        fk.ConfigError,
        match=rf"branch 'a' .*weights '{weights}' and left backbone.weights at None: there are "
        r"no such weights \(write weights=None .*\), or its author forgot to set it",
    ):
        build({"a": fk.Branch("odd/odd", weights=weights)})


def test_a_preparation_of_the_users_replaces_the_weights_own():
    mine = fk.Preprocessing(size=(9, 9))
    model = build({"a": branch("odd", preprocessing=mine, in_channels=1), "b": "odd"})
    assert model.branches["a"].preprocessing == mine.for_channels(1)
    assert model.recipe.branches["a"].preprocessing == mine
    assert model.recipe.branches["b"].preprocessing == fk.Preprocessing(size=(16, 16))


def test_a_factory_cannot_change_the_recipe():
    def make(*, in_channels, weights, num_classes, sizes):
        sizes.append(3)
        return OddNet(in_channels)

    model = compose(make, options={"sizes": [1]})
    assert model.recipe.branches["a"].options == {"sizes": [1]}


@pytest.mark.parametrize("can", [True, False])
def test_what_a_file_fills_may_be_built_empty(tmp_path, can):
    calls = []

    def make(*, in_channels, weights, num_classes, width=8):
        calls.append("whole")
        return OddNet(in_channels, width)

    def empty(*, in_channels, weights, num_classes, width=8):
        calls.append("empty")
        return OddNet(in_channels, width) if can else None

    make.build_empty = empty
    net, path = OddNet(3, 4), tmp_path / "n.safetensors"
    save_file(net.state_dict(), path)
    compose(make, options={"width": 4})
    assert calls == ["whole"], "random values are wanted"
    calls.clear()
    model = compose(make, options={"width": 4}, weights=path)
    assert calls == (["empty"] if can else ["empty", "whole"])
    for name, value in net.state_dict().items():
        assert torch.equal(model.branches["a"].state_dict()[name], value)
    calls.clear()
    compose(make, options={"width": 4}, weights=fk.Weights(path, missing=["one.*"]))
    assert calls == ["whole"], "some values may be left at what they were drawn as"
