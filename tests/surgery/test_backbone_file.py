"""A branch's backbone becomes a file that its provider takes."""

from __future__ import annotations

import errno
import json
import os
from collections import OrderedDict
from unittest import mock

import pytest
import timm
import torch
import torchvision
from odd_toys import build, odd_catalog
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from surgery_toys import CATALOG, assert_same, fused, tensors_of
from toys import perturb

import fusionkit as fk


def composed(name, head="concat", num_classes=4, **settings):
    torch.manual_seed(0)
    branch = fk.Branch(name, weights=None, **settings)
    model = fk.compose({"rgb": branch}, head, num_classes=num_classes)
    perturb(model)
    return model.eval()


def metadata_of(path):
    with safe_open(path, "pt") as file:
        return file.metadata()


def images(channels=3, size=96):
    return torch.randn(1, channels, size, size, generator=torch.Generator().manual_seed(0))


def assert_taken_back(model, path):
    """The file fills a branch of the same name, strictly."""
    branch = model.recipe.branches["rgb"]
    again = fk.compose(
        {"rgb": fk.Branch(branch.backbone, weights=path, in_channels=branch.in_channels,
                          classifier=branch.classifier, options=branch.options)},
        model.recipe.head, model.recipe.num_classes,
    )  # fmt: skip
    theirs, ours = again.branches["rgb"], model.branches["rgb"]
    assert_same(theirs.state_dict(), ours.state_dict())
    assert theirs.load_report.ignored == theirs.load_report.kept == ()


@pytest.mark.parametrize(
    ("name", "size", "channels"),
    [
        ("resnet10t", 96, 3),
        ("resnet10t", 96, 5),
        ("test_vit", 160, 3),
        ("test_vit", 160, 1),
        ("swin_s3_tiny_224", 224, 3),
        ("coat_mini", 224, 3),
    ],
)
def test_timm_takes_it(tmp_path, name, size, channels):
    model = composed(f"timm/{name}", in_channels=channels)
    path = fk.save_backbone(model, "rgb", tmp_path / "rgb.safetensors")
    stock = timm.create_model(
        name, num_classes=0, in_chans=channels, checkpoint_path=str(path)
    ).eval()
    x = images(channels, size)
    with torch.no_grad():
        torch.testing.assert_close(stock(x), model.embed(x)["rgb"], rtol=0, atol=0)
    assert_taken_back(model, path)


def test_timm_takes_it_with_its_classifier(tmp_path):
    model = composed("timm/test_vit", "mean_logits", num_classes=1000)
    path = fk.save_backbone(model, "rgb", tmp_path / "rgb.safetensors")
    stock = timm.create_model("test_vit", checkpoint_path=str(path)).eval()
    x = images(size=160)
    with torch.no_grad():
        assert torch.equal(stock(x), model(x))
    assert metadata_of(path)["num_classes"] == "1000"
    assert_taken_back(model, path)


@pytest.mark.parametrize(
    ("name", "size"), [("squeezenet1_1", 96), ("swin_t", 64), ("mobilenet_v3_small", 64)]
)
def test_torchvision_takes_it_with_its_classifier(tmp_path, name, size):
    model = composed(f"torchvision/{name}", "mean_logits", num_classes=1000)
    path = fk.save_backbone(model, "rgb", tmp_path / "rgb.safetensors")
    stock = torchvision.models.get_model(name)
    stock.load_state_dict(load_file(path), strict=True)
    x = images(size=size)
    with torch.no_grad():
        assert torch.equal(stock.eval()(x), model(x))
    assert_taken_back(model, path)


@pytest.mark.parametrize(("name", "size"), [("googlenet", 96), ("inception_v3", 96)])
def test_torchvisions_classifiers_on_the_side_are_left_out(tmp_path, name, size):
    model = composed(f"torchvision/{name}", "mean_logits", num_classes=1000)
    path = fk.save_backbone(model, "rgb", tmp_path / "rgb.safetensors")
    stock = torchvision.models.get_model(name, aux_logits=False, init_weights=False)
    stock.load_state_dict(load_file(path), strict=True)
    x = images(size=size)
    with torch.no_grad():
        assert torch.equal(stock.eval()(x), model(x))
    assert_taken_back(model, path)


def test_torchvisions_mnasnet_asks_for_a_version(tmp_path):
    model = composed("torchvision/mnasnet0_5", "mean_logits", num_classes=1000)
    path = fk.save_backbone(model, "rgb", tmp_path / "rgb.safetensors")
    state = OrderedDict(load_file(path))
    state._metadata = {"": {"version": 2}}
    stock = torchvision.models.mnasnet0_5()
    stock.load_state_dict(state, strict=True)
    with torch.no_grad():
        assert torch.equal(stock.eval()(images()), model(images()))
    assert_taken_back(model, path)


def test_torchvisions_trunk_without_classifier(tmp_path):
    model = composed("torchvision/squeezenet1_1", in_channels=6)
    path = fk.save_backbone(model, "rgb", tmp_path / "rgb.safetensors")
    assert "num_classes" not in metadata_of(path)
    assert not [name for name in load_file(path) if name.startswith("classifier")]
    assert load_file(path)["features.0.weight"].shape[1] == 6
    assert_taken_back(model, path)


def test_it_says_what_it_is(tmp_path):
    model = fused()
    model.branches["flow"].weights = "in1k"
    model.branches["flow"].license = "mit"
    model.branches["flow"].base_model = "owner/name"
    model.branches["flow"].rebuild = ("tiny", {"width": 16})
    path = tmp_path / "a" / "x.safetensors"
    fk.save_backbone(model, "flow", path, metadata={"task": "gestures"})
    said = metadata_of(path)
    assert said == {
        "format": "pt",
        "backbone": "toy/tiny",
        "options": '{"width": 16}',
        "weights": "in1k",
        "from": "a plugin given in Python",
        "in_channels": "5",
        "fusionkit": fk.__version__,
        "license": "mit",
        "base_model": "owner/name",
        "task": "gestures",
    }
    assert fk.save_backbone(model, "flow", path, metadata={"license": "apache-2.0"}) == path
    assert metadata_of(path)["license"] == "apache-2.0"
    path = fk.save_backbone(model, "rgb", tmp_path / "y.safetensors")
    assert json.loads(metadata_of(path)["options"]) == {}
    assert "weights" not in metadata_of(path)


def test_tied_weights_stand_under_each_name(tmp_path):
    model = build({"a": "tied"})
    path = fk.save_backbone(model, "a", tmp_path / "a.safetensors")
    state = load_file(path)
    assert torch.equal(state["two.weight"], state["three.weight"])
    again = fk.compose(
        {"a": fk.Branch("odd/tied", weights=path)}, "odd/sum", 5, catalog=odd_catalog()
    )
    assert_same(tensors_of(again.branches["a"]), tensors_of(model.branches["a"]))


def test_its_own_file_is_replaced_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "rgb.safetensors"
    fk.save_backbone(fused(0), "rgb", path)
    model = fused(1)
    fk.save_backbone(model, "rgb", path)
    assert_same(load_file(path), model.branches["rgb"].state_dict())
    assert os.listdir(tmp_path) == ["rgb.safetensors"]


def test_files_of_somebody_else_are_not(tmp_path):
    path = tmp_path / "mine.safetensors"
    for content in ("tensors", "text"):
        if content == "text":
            path.write_text("mine")
        else:
            save_file({"a": torch.ones(1)}, path)
        before = path.read_bytes()
        with pytest.raises(fk.CheckpointError, match="save_backbone did not write it"):
            fk.save_backbone(fused(), "rgb", path)
        assert path.read_bytes() == before
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "link.safetensors").symlink_to(path)
    for name in ("folder", "link"):
        with pytest.raises(fk.CheckpointError, match="is a link or a folder"):
            fk.save_backbone(fused(), "rgb", tmp_path / f"{name}.safetensors")


def test_f048_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "rgb.safetensors"
    fk.save_backbone(fused(0), "rgb", path)
    before = path.read_bytes()
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        mock.patch("fusionkit.surgery.backbone_file.write_tensors", side_effect=full),
        pytest.raises(fk.CheckpointError, match=r"the disk is full; what was there .* is kept"),
    ):
        fk.save_backbone(fused(1), "rgb", path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["rgb.safetensors"]


def test_f050_what_a_killed_one_has_left_is_swept(tmp_path):
    left = tmp_path / ".rgb.safetensors.new-0123456789ab"
    left.mkdir()
    (left / "rgb.safetensors").write_text("half")
    fk.save_backbone(fused(), "rgb", tmp_path / "rgb.safetensors")
    assert os.listdir(tmp_path) == ["rgb.safetensors"]


def test_what_is_refused(tmp_path):
    model = fused()
    path = tmp_path / "rgb.safetensors"
    with pytest.raises(fk.CheckpointError, match=r"write for example '.*rgb\.pth\.safetensors'"):
        fk.save_backbone(model, "rgb", tmp_path / "rgb.pth")
    with pytest.raises(fk.ConfigError, match=r"no branch 'rbg'.*Did you mean 'rgb'"):
        fk.save_backbone(model, "rbg", path)
    with pytest.raises(fk.CheckpointError, match="metadata are text by name"):
        fk.save_backbone(model, "rgb", path, metadata={"year": 2026})
    with torch.no_grad():
        model.branches["rgb"].top.weight[0, 0] = torch.inf
    with pytest.raises(fk.CheckpointError, match=r"branch 'rgb' .*'top\.weight' holds infinities"):
        fk.save_backbone(model, "rgb", path)
    model.branches["rgb"].more = torch.nn.Linear(1, 1)
    with pytest.raises(fk.AssemblyError, match="was changed since it was composed"):
        fk.save_backbone(model, "rgb", path)
    assert not list(tmp_path.iterdir())


def test_of_a_loaded_model_too(tmp_path):
    model = fused()
    fk.save(model, tmp_path / "m")
    loaded = fk.load(tmp_path / "m", catalog=CATALOG)
    path = fk.save_backbone(loaded, "rgb", tmp_path / "rgb.safetensors")
    assert_same(load_file(path), model.branches["rgb"].state_dict())
