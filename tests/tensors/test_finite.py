"""What was seen to be finite is known as an object, not by its number."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import fusionkit as fk
from fusionkit.tensors import fill
from fusionkit.tensors.finite import KnownFinite, has_finite_sum
from fusionkit.tensors.match import load_tensors
from fusionkit.tensors.read import read_tensors


def test_a_tensor_is_known_while_it_lives_and_an_equal_one_is_not() -> None:
    known = KnownFinite()
    value = torch.ones(2)
    known.add(value)
    assert value in known
    assert torch.ones(2) not in known
    del value
    gc.collect()
    assert not known._tensors


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_one_value_that_is_not_finite_shows_in_the_sum(bad: float) -> None:
    value = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert has_finite_sum(value)
    value[517] = bad
    assert not has_finite_sum(value)
    value[3] = -bad
    assert not has_finite_sum(value)


@pytest.mark.parametrize("place", [0, 255, 256, 299])
def test_reading_knows_what_is_finite_in_every_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setattr(fill, "CHUNK", 256)
    spoilt = torch.ones(300)
    spoilt[place] = torch.nan
    tensors = {
        "fine": torch.ones(300),
        "half": torch.ones(1, 300, dtype=torch.float16),
        "large": torch.full((300,), torch.finfo(torch.float32).max),
        "number": torch.tensor(3),
        "none": torch.ones(0),
        "spoilt": spoilt,
    }
    path = tmp_path / "x.safetensors"
    save_file(tensors, path)
    known = KnownFinite()
    found = read_tensors(path, finite=known)
    assert {name for name, value in found.items() if value in known} == {"fine", "half"}
    assert all(torch.equal(found[n], v) for n, v in tensors.items() if n != "spoilt")
    model = nn.ParameterDict({name: nn.Parameter(torch.zeros(300)) for name in ("fine", "spoilt")})
    with pytest.raises(fk.CheckpointError, match="'spoilt' holds NaN"):
        load_tensors(model, {n: found[n] for n in ("fine", "spoilt")}, "file", finite=known)


def test_a_tensor_that_took_the_place_of_a_known_one_is_looked_at() -> None:
    known, model = KnownFinite(), nn.Linear(2, 2, bias=False)
    value = torch.ones(2, 2)
    known.add(value)
    with pytest.raises(fk.CheckpointError, match="'weight' holds NaN"):
        load_tensors(model, {"weight": value * torch.nan}, "file", finite=known)
