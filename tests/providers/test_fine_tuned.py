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


def test_another_count_than_the_models_does_not_fit(tmp_path):
    path = tmp_path / "trained.safetensors"
    save_file(TRAINED["timm/resnet10t"]().state_dict(), path)
    with pytest.raises(fk.CheckpointError, match=r"2 of another shape \(fc\.weight: \(2, 512\)"):
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
