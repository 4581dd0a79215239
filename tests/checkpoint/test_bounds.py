"""What a config may make a factory build, held against what its file holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from saved_toys import fingerprints, rewrite, toy_model
from torch import nn
from toys import toy_catalog

import fusionkit as fk
from fusionkit.checkpoint.bounds import FEW, SMALL, TIMES, Bounds

HELD = {"a": torch.zeros(10), "b": torch.zeros(2, 5)}
MOST = SMALL + TIMES * 20


@pytest.mark.parametrize("make", [torch.empty, torch.zeros, torch.ones, torch.rand, torch.arange])
def test_f044_tensors_are_counted_however_they_are_made(make) -> None:
    with Bounds(HELD, Path("config.json")):
        assert make(MOST - 1).shape == (MOST - 1,)
        with pytest.raises(fk.CheckpointError, match=r"config\.json: what it asks for is far larg"):
            make(2)


def test_f044_many_small_tensors_are_refused_too() -> None:
    with Bounds(HELD, Path("config.json")), pytest.raises(fk.CheckpointError, match="far larger"):
        nn.ModuleList(nn.Linear(1, 1) for _ in range(FEW))


def test_f044_a_tensor_is_refused_before_it_is_written() -> None:
    """These would be petabytes."""
    for make in (torch.zeros, torch.ones, torch.randn):
        with Bounds(HELD, Path("x")), pytest.raises(fk.CheckpointError, match="far larger"):
            make(10**15, device="cpu", generator=None) if make is torch.randn else make(10**15)


def test_f044_an_option_that_the_file_cannot_hold_is_refused_before_it_is_built(
    tmp_path: Path,
) -> None:
    model = toy_model()
    fk.save(model, tmp_path / "pets")
    assert fingerprints(fk.load(tmp_path / "pets", catalog=toy_catalog())) == fingerprints(model)

    def widen(config) -> None:
        config["recipe"]["branches"]["rgb"]["options"] = {"width": 3000}

    rewrite(tmp_path / "pets", widen)
    with pytest.raises(fk.CheckpointError, match=r"config\.json: what it asks for is far larger"):
        fk.load(tmp_path / "pets", catalog=toy_catalog())
