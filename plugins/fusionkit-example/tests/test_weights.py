from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import fusionkit as fk
import pytest
import safetensors.torch
import torch

from fusionkit_example.backbone import build_reversible
from fusionkit_example.weights import SOURCES, Source

PREPROCESSING = fk.Preprocessing(size=(32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A backbone whose weights are published, under the tag "tried", by an address of a file."""
    backbone = build_reversible()
    file = tmp_path / "reversible.safetensors"
    safetensors.torch.save_model(backbone, str(file))
    source = Source(file.as_uri(), sha256(file.read_bytes()).hexdigest(), PREPROCESSING)
    for tag in list(SOURCES):
        monkeypatch.delitem(SOURCES, tag)
    monkeypatch.setitem(SOURCES, "tried", source)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    return backbone


@pytest.mark.parametrize("tag", ["tried", "default"])
def test_weights_are_loaded_to_the_bit(published, tag):
    again = build_reversible(weights=tag)
    assert (again.weights, again.preprocessing) == ("tried", PREPROCESSING)
    for name, value in published.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_one_channel_gets_the_sum_over_the_colours(published):
    grey = build_reversible(weights="tried", in_channels=1)
    assert torch.equal(grey.stem[0].weight, published.stem[0].weight.sum(1, keepdim=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "file:///nowhere"}, "could not download"),
        ({"sha256": "0" * 64}, "invalid hash"),
    ],
)
def test_a_file_that_is_not_the_published_one_is_refused(published, monkeypatch, changes, message):
    monkeypatch.setitem(SOURCES, "tried", replace(SOURCES["tried"], **changes))
    with pytest.raises(fk.CheckpointError, match=message):
        build_reversible(weights="tried")


def test_unknown_weights_are_refused(published):
    with pytest.raises(fk.ConfigError, match="Did you mean 'tried'"):
        build_reversible(weights="tryed")


def test_weights_of_another_width_are_refused(published):
    with pytest.raises(fk.CheckpointError, match="do not fit"):
        build_reversible(weights="tried", width=8)
