"""A folder that describes its model is named as a whole."""

from __future__ import annotations

import warnings

import pytest
import torch
from odd_toys import OddNet, build
from safetensors.torch import save_file

import fusionkit as fk


def compose(weights, **settings):
    return build({"a": fk.Branch("odd/odd", weights=weights, **settings)})


def test_a_folder_that_tells_how_images_were_prepared_is_not_taken_without_a_word(tmp_path):
    state = OddNet().state_dict()
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"pretrained_cfg": {"mean": [0, 0, 0]}}')
    with pytest.warns(UserWarning, match=r"prepared as for the provider's own; .*local-dir:"):
        compose(str(tmp_path))
    save_file({"other": torch.ones(1)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(fk.CheckpointError, match=r"this folder is Branch\('hf/local-dir:/"):
        compose(str(tmp_path))
    save_file(state, tmp_path / "model.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compose(str(tmp_path), preprocessing=fk.Preprocessing(size=(16, 16)))


@pytest.mark.parametrize("text", ["[1]", "{", "7", '{"format": 2}', "[" * 100_000])
def test_a_config_of_something_else_says_nothing(tmp_path, text):
    save_file(OddNet().state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compose(str(tmp_path))
