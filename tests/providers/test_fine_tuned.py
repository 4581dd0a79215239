"""A fine-tuned network, whose classifier is for other classes than the stock one's."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

import fusionkit as fk

TRAINED = {
    "timm/resnet10t": lambda: timm.create_model("resnet10t", num_classes=2),
    "timm/vit_tiny_patch16_224": lambda: timm.create_model("vit_tiny_patch16_224", num_classes=2),
    "timm/vit_small_patch14_dinov2": lambda: timm.create_model(  # without a stock classifier
        "vit_small_patch14_dinov2", num_classes=2, img_size=224
    ),
    "torchvision/squeezenet1_1": lambda: torchvision.models.squeezenet1_1(num_classes=2),
    "torchvision/googlenet": lambda: torchvision.models.googlenet(
        num_classes=2, init_weights=False
    ),
}
OPTIONS = {"timm/vit_small_patch14_dinov2": {"img_size": 224}}


@pytest.mark.parametrize("name", TRAINED)
def test_its_classifier_is_kept(name, tmp_path):
    torch.manual_seed(0)
    trained = TRAINED[name]().eval()
    path = tmp_path / "trained.safetensors"
    save_file(trained.state_dict(), path)
    options = OPTIONS.get(name, {})
    branch = fk.Branch(name, weights=path, classifier=True, options=options)
    model = fk.compose({"a": branch}, "mean_logits", 2).eval()
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(model(images), trained(images))
        fk.save(model, tmp_path / "model")
        assert torch.equal(fk.load(tmp_path / "model")(images), trained(images))


def test_a_head_that_reads_scores_takes_it_without_being_told(tmp_path):
    trained = TRAINED["timm/resnet10t"]().eval()
    whole, trunk, named = (tmp_path / f"{name}.safetensors" for name in ("a", "b", "c"))
    state = trained.state_dict()
    save_file(state, whole)
    save_file({n: v for n, v in state.items() if not n.startswith("fc.")}, trunk)
    save_file({n.replace("fc.", "net.head."): v for n, v in state.items()}, named)
    images = torch.randn(2, 3, 64, 64)

    def compose(path, classes=2, **more):
        branch = fk.Branch("timm/resnet10t", weights=path, **more)
        return fk.compose({"a": branch}, "mean_logits", classes).eval()

    with torch.no_grad():
        model = compose(whole)
        assert torch.equal(model(images), trained(images))
        assert model.recipe.branches["a"].classifier
        fk.save(model, tmp_path / "model")
        assert torch.equal(fk.load(tmp_path / "model")(images), trained(images))
    for path, more in ((whole, {"classifier": False}), (whole, {"classes": 3}), (trunk, {})):
        model = compose(path, **more)
        assert not model.recipe.branches["a"].classifier
        assert any(name.startswith("head.") for name, _ in model.named_parameters())
    assert not compose(trunk, classes=1000).recipe.branches["a"].classifier
    with pytest.raises(fk.CheckpointError, match=r"rename=\{'net\.head\.': 'fc\.'\}"):
        compose(named, classifier=True)
    renamed = fk.Weights(named, rename={"net.head.": "fc."})
    with torch.no_grad():
        assert torch.equal(compose(renamed)(images), trained(images))


def test_a_trunk_alone_gets_a_classifier_that_learns(tmp_path):
    state = TRAINED["timm/resnet10t"]().state_dict()
    path = tmp_path / "trunk.safetensors"
    save_file({n: v for n, v in state.items() if not n.startswith("fc.")}, path)
    weights = fk.Weights(path, missing=["fc.*"])
    branch = fk.Branch("timm/resnet10t", weights=weights, freeze=fk.Freeze.all())
    torch.manual_seed(1)
    model = fk.compose({"a": branch}, "mean_logits", 2)
    assert not model.recipe.branches["a"].classifier
    assert any(each.requires_grad for each in model.parameters())


def test_words_before_the_trunk_alone_hide_no_classifier(tmp_path):
    trained = TRAINED["timm/resnet10t"]().eval()
    path = tmp_path / "wrapped.safetensors"
    state = trained.state_dict().items()
    save_file({n if n.startswith("fc.") else f"backbone.{n}": v for n, v in state}, path)
    model = fk.compose({"a": fk.Branch("timm/resnet10t", weights=path)}, "mean_logits", 2).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(images), trained(images))
    ignored = fk.Weights(path, ignore=["fc.*"])
    model = fk.compose({"a": fk.Branch("timm/resnet10t", weights=ignored)}, "mean_logits", 2)
    assert not model.recipe.branches["a"].classifier


def test_what_is_drawn_after_does_not_depend_on_the_file(tmp_path):
    state, drawn = TRAINED["timm/resnet10t"]().state_dict(), []
    for name, left_out in (("whole", "nothing"), ("trunk", "fc.")):
        path = tmp_path / f"{name}.safetensors"
        save_file({n: v for n, v in state.items() if not n.startswith(left_out)}, path)
        torch.manual_seed(1)
        fk.compose({"a": fk.Branch("timm/resnet10t", weights=path)}, "mean_logits", 7)
        drawn.append(torch.rand(1))
    assert torch.equal(*drawn)


def test_another_count_than_the_models_does_not_fit(tmp_path):
    path = tmp_path / "trained.safetensors"
    save_file(TRAINED["timm/resnet10t"]().state_dict(), path)
    with pytest.raises(
        fk.CheckpointError,
        match=r"2 of another shape \(fc\.weight: \(2, 512\).*of 2 classes: write num_classes=2, or",
    ):
        fk.compose({"a": fk.Branch("timm/resnet10t", weights=path, classifier=True)}, "concat", 3)


@pytest.mark.parametrize("name", ["timm/resnet10t", "torchvision/resnet18"])
def test_only_where_it_is_asked_for_is_one_made(name):
    factory = fk.Catalog.installed().backbone(name).factory
    assert factory(num_classes=7).num_classes is None
    assert factory(num_classes=7, new_classifier=True).num_classes == 7
    assert factory(num_classes=None, new_classifier=True).num_classes is None
    kept = fk.Branch(name, weights=None, classifier=True)
    assert fk.compose({"a": kept}, "mean_logits", 7).recipe.branches["a"].classifier
    option = fk.Branch(name, weights=None, options={"new_classifier": True})
    with pytest.raises(fk.OptionError, match=r"'new_classifier'.*Branch\(classifier=True\)"):
        fk.compose({"a": option}, "concat", 7)
