"""Pretrained weights: from a folder or a hub, with other channels and without a classifier."""

import json
import shutil

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf
from timm_zoo import perturb, picture

import fusionkit as fk
from fusionkit.providers.timm.plugin import TimmModels

MODELS = TimmModels()
VECTOR = fk.Reads(vector=True)
LOGITS = fk.Reads(logits=True)
OPTIONS = {
    "test_resnet": {},
    "mobilenetv3_small_050": {},
    "vit_tiny_patch16_224": {"img_size": 64},
    "swin_tiny_patch4_window7_224": {"img_size": 64},
    "coat_lite_tiny": {"img_size": 64},
    "levit_128s": {},
    "eva02_tiny_patch14_224": {"img_size": 56},
}


@pytest.fixture(scope="module", params=OPTIONS)
def saved(request, tmp_path_factory):
    """Gives a folder that timm wrote, and the model that it wrote."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = timm.create_model(request.param, num_classes=7, **OPTIONS[request.param])
    perturb(model)
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "coat_lite_tiny":  # its tied tensors cannot be saved as they are
        state = {name: value.clone() for name, value in model.state_dict().items()}
        save_for_hf(model, folder)
        (folder / "pytorch_model.bin").unlink()
        save_file(state, folder / "model.safetensors")
    else:
        save_for_hf(model, folder, safe_serialization=True)
    return f"local-dir:{folder}", model.eval()


@torch.no_grad()
def test_a_folder_gives_the_model_that_was_saved(saved):
    name, model = saved
    backbone = MODELS[name](weights="default", num_classes=7).eval()
    assert backbone.weights == name
    assert backbone.num_classes == 7
    images = picture(backbone)
    assert torch.equal(backbone(images, LOGITS).logits, model(images))


@torch.no_grad()
def test_without_the_classifier_everything_else_is_the_same(saved):
    name, model = saved
    backbone = MODELS[name](weights="default", num_classes=5).eval()
    assert backbone.num_classes is None
    assert not any(value.is_meta for value in backbone.state_dict().values())
    assert not any(value.is_meta for value in backbone.buffers())
    images = picture(backbone)
    expected = model.forward_head(model.forward_features(images), pre_logits=True)
    assert torch.equal(backbone(images, VECTOR).vector, expected)
    assert all(value.requires_grad for value in backbone.parameters())


@torch.no_grad()
def test_a_random_one_from_a_folder_is_built_as_it_was_saved(saved):
    name, model = saved
    backbone = MODELS[name]()
    assert backbone.weights is None
    stock, own = model.state_dict(), backbone.trunk.state_dict()
    assert {n: v.shape for n, v in own.items()} == {n: stock[n].shape for n in own}
    assert any(not torch.equal(value, stock[n]) for n, value in own.items())


@pytest.mark.parametrize("channels", [1, 4, 20])
@torch.no_grad()
def test_first_layers_are_adapted_as_fusionkit_says(saved, channels):
    name, model = saved
    backbone = MODELS[name](weights="default", in_channels=channels, num_classes=7).eval()
    assert backbone.in_channels == channels
    assert len(backbone.first_layers) == 1
    stock, own = model.state_dict(), backbone.trunk.state_dict()
    assert set(own) == set(stock)
    for key, value in own.items():
        expected = stock[key]
        if key in backbone.first_layers:
            expected = fk.adapt_input_channels(expected, channels)
        assert torch.equal(value, expected), key
    assert len(backbone.preprocessing.mean) == channels
    images = picture(backbone)
    logits = backbone(images, LOGITS).logits
    if channels == 1:
        torch.testing.assert_close(logits, model(images.repeat(1, 3, 1, 1)), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_another_channel_count_without_weights():
    backbone = MODELS["test_resnet"](in_channels=5)
    assert backbone.trunk.conv1[0].weight.shape[1] == 5
    assert backbone(picture(backbone), VECTOR).vector.shape == (2, backbone.embed_dim)


def test_a_first_layer_that_cannot_be_adapted_says_so(tmp_path):
    save_for_hf(timm.create_model("tresnet_m", num_classes=3), tmp_path, safe_serialization=True)
    with pytest.raises(fk.AssemblyError, match=r"cannot be adapted from 3 to 4 channels"):
        MODELS[f"local-dir:{tmp_path}"](weights="default", in_channels=4)
    assert MODELS[f"local-dir:{tmp_path}"](in_channels=4).first_layers == ()


def test_a_model_of_three_channels_only_says_so():
    with pytest.raises(fk.AssemblyError, match=r"cannot run on 4 channels.*give it three"):
        MODELS["csatv2"](in_channels=4)


def test_a_folder_with_pickled_weights_only_is_refused(tmp_path):
    save_for_hf(timm.create_model("test_resnet", num_classes=3), tmp_path)
    with pytest.raises(fk.CheckpointError, match=r"no safetensors file.*pickled weights are not"):
        MODELS[f"local-dir:{tmp_path}"](weights="default")


def test_a_folder_with_two_files_is_ambiguous(tmp_path):
    model = timm.create_model("test_resnet", num_classes=3)
    save_for_hf(model, tmp_path, safe_serialization=True)
    (tmp_path / "model.safetensors").rename(tmp_path / "a.safetensors")
    assert MODELS[f"local-dir:{tmp_path}"](weights="default").weights
    shutil.copy(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    with pytest.raises(fk.CheckpointError, match=r"several safetensors files"):
        MODELS[f"local-dir:{tmp_path}"](weights="default")


def test_weights_that_do_not_fit_are_refused(tmp_path):
    save_for_hf(timm.create_model("test_resnet", num_classes=3), tmp_path, safe_serialization=True)
    state = {"conv1.0.weight": torch.zeros(1)}
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(fk.CheckpointError, match=r"do not fit the model"):
        MODELS[f"local-dir:{tmp_path}"](weights="default")


def test_an_option_overrides_how_a_folder_was_saved(tmp_path):
    model = timm.create_model("test_resnet", num_classes=3, drop_path_rate=0.1)
    save_for_hf(model, tmp_path, safe_serialization=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config.setdefault("model_args", {})["drop_path_rate"] = 0.1
    (tmp_path / "config.json").write_text(json.dumps(config))
    for options, expected in (({}, 0.1), ({"drop_path_rate": 0.4}, 0.4)):
        backbone = MODELS[f"local-dir:{tmp_path}"](weights="default", **options)
        rates = [m.drop_prob for m in backbone.modules() if hasattr(m, "drop_prob")]
        assert max(rates) == pytest.approx(expected)


@pytest.mark.parametrize("error", [ConnectionError("refused"), TimeoutError("slow")])
def test_no_network_says_what_to_write_instead(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("timm.models._hub.hf_hub_download", fail)
    with pytest.raises(fk.CheckpointError, match=r"no network.*weights=None.*safetensors file"):
        MODELS["test_resnet"](weights="default")


def test_a_repository_on_the_hub_is_read_from_safetensors(monkeypatch, tmp_path):
    model = timm.create_model("test_resnet", num_classes=3)
    save_for_hf(model, tmp_path, safe_serialization="both")
    asked = []

    def fetch(repo_id, filename, **_):
        asked.append((repo_id, filename))
        return str(tmp_path / filename)

    monkeypatch.setattr("timm.models._hub.hf_hub_download", fetch)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    backbone = MODELS["hf-hub:someone/thing"](weights="default", num_classes=3)
    assert backbone.weights == "hf-hub:someone/thing"
    assert backbone.base_model == "someone/thing"
    assert asked[-1] == ("someone/thing", "model.safetensors")
    assert torch.equal(backbone.trunk.fc.weight, model.fc.weight)
    assert MODELS["hf-hub:someone/thing"]().base_model is None


def test_a_real_checkpoint_loads_into_the_trunk(shared_data):
    from safetensors.torch import load_file

    path = shared_data / "weights" / "mobilenetv2_100-tf1_quant_in1k.safetensors"
    backbone = MODELS["mobilenetv2_100"](num_classes=1000, pad_type="same")
    backbone.trunk.load_state_dict(load_file(path), strict=True)
    headless = MODELS["mobilenetv2_100"](pad_type="same")
    import fnmatch

    state = load_file(path)
    kept = {
        name: value
        for name, value in state.items()
        if not any(fnmatch.fnmatch(name, glob) for glob in headless.dropped_keys)
    }
    headless.trunk.load_state_dict(kept, strict=True)
    assert len(kept) == len(state) - 2
