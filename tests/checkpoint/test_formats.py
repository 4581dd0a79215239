"""Folders that earlier versions wrote are read for ever; each is kept here as it was written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from toys import toy_catalog

import fusionkit as fk

HERE = Path(__file__).parent


def known_value(place: int, name: str, like: torch.Tensor) -> torch.Tensor:
    """Gives what was put into the tensor at a place of the alphabetical order of all names."""
    if not like.is_floating_point():
        return torch.full_like(like, place)
    count = torch.arange(like.numel(), dtype=torch.float64).reshape(like.shape)
    least = -1 if "var" in name else 5
    return (((count * 7 + place * 3) % 11 - least) / 8).to(like.dtype)


@pytest.mark.parametrize("folder", ["format_1"])
def test_a_folder_of_an_earlier_format_gives_the_values_that_were_saved(folder: str) -> None:
    model = fk.load(HERE / folder, catalog=toy_catalog())
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    assert len(tensors) == 25
    for place, (name, value) in enumerate(sorted(tensors.items())):
        assert torch.equal(value, known_value(place, name, value)), name
    assert {value.dtype for value in model.branches["flat"].parameters()} == {torch.bfloat16}
    assert model.branches["rgb"].embed_dim == 4
    assert model.recipe.branches["flat"].lr == fk.LR(0.1, layer_decay=0.75)
    assert model.recipe.branches["rgb"].freeze == fk.Freeze.all()
    assert model.recipe.num_classes == 3
    assert model.epoch == 5


def test_a_folder_of_an_earlier_format_is_replaced_by_a_new_save(tmp_path: Path) -> None:
    shutil.copytree(HERE / "format_1", tmp_path / "old")
    model = fk.load(tmp_path / "old", catalog=toy_catalog())
    assert fk.save(model.set_epoch(6), tmp_path / "old") == tmp_path / "old"
    assert fk.load(tmp_path / "old", catalog=toy_catalog()).epoch == 6
