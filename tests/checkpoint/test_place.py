"""A saved model goes to the device and the type that are asked for, whole."""

from __future__ import annotations

import pytest
import torch
from odd_toys import OddNet, images, odd_catalog
from saved_toys import INPUTS, toy_model
from toys import toy_catalog

import fusionkit as fk


@pytest.fixture
def pets(tmp_path):
    return fk.save(toy_model(), tmp_path / "pets")


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), None])
def test_the_cpu_is_a_device_too(pets, device):
    model = fk.load(pets, catalog=toy_catalog(), device=device)
    assert torch.equal(model(INPUTS), fk.load(pets, catalog=toy_catalog())(INPUTS))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_all_floats_have_the_type_that_was_asked_for(pets, dtype):
    model = fk.load(pets, catalog=toy_catalog(), dtype=dtype)
    want = fk.load(pets, catalog=toy_catalog()).to(dtype).state_dict()
    have = model.state_dict()
    assert {name: value.dtype for name, value in have.items()} == {
        name: value.dtype for name, value in want.items()
    }
    assert all(torch.equal(value, have[name]) for name, value in want.items())
    kinds = {value.dtype for value in model.buffers() if not value.is_floating_point()}
    assert kinds <= {torch.int64, torch.bool}


class TiedTables(OddNet):
    """Ties two layers, and keeps one table, which no file holds, under two names."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.three.weight = self.two.weight
        table = torch.linspace(0, 1, 8)
        self.register_buffer("table", table, persistent=False)
        self.one.register_buffer("table", table, persistent=False)


@pytest.mark.parametrize("dtype", [None, torch.float64])
def test_ties_and_tables_outlive_a_change_of_type(tmp_path, dtype):
    def make(*, in_channels, weights, num_classes):
        return TiedTables(in_channels)

    catalog = odd_catalog({"tied_tables": make})
    model = fk.compose(
        {"a": fk.Branch("odd/tied_tables", weights=None)}, "odd/sum", 3, catalog=catalog
    ).eval()
    back = fk.load(fk.save(model, tmp_path / "m"), catalog=catalog, dtype=dtype, device="cpu")
    trunk = back.branches["a"]
    assert trunk.three.weight is trunk.two.weight
    assert trunk.one.table is trunk.table
    assert trunk.table.dtype == trunk.two.weight.dtype == (dtype or torch.float32)
    assert torch.equal(trunk.table.float(), torch.linspace(0, 1, 8))
    if dtype is None:
        assert torch.equal(back(images()), model(images()))


def test_values_too_large_for_the_type_are_refused(tmp_path):
    model = toy_model()
    with torch.no_grad():
        next(model.head.parameters()).fill_(1e6)
    folder = fk.save(model, tmp_path / "large")
    with pytest.raises(fk.CheckpointError, match=r"too large for the model's torch\.float16"):
        fk.load(folder, catalog=toy_catalog(), dtype=torch.float16)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e5m2, torch.complex64, "bfloat16"])
def test_types_that_nothing_computes_with_are_refused(pets, dtype):
    with pytest.raises(fk.ConfigError, match="floating-point type to compute with"):
        fk.load(pets, catalog=toy_catalog(), dtype=dtype)


def test_the_meta_device_is_refused(pets):
    with pytest.raises(fk.ConfigError, match="holds no values"):
        fk.load(pets, catalog=toy_catalog(), device="meta")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", 3.5])
def test_a_device_that_is_not_here_is_refused_before_anything_is_read(tmp_path, device):
    with pytest.raises(fk.ConfigError, match="cannot be used here: "):
        fk.load(tmp_path / "nothing", device=device)
