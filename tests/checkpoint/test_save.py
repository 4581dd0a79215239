"""A model is saved whole, or what is wrong with it is told before anything is written."""

from __future__ import annotations

import copy
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from saved_toys import fingerprints, toy_model
from torch import nn
from toys import SumHead, ToyPlugin, perturb, toy_catalog

import fusionkit as fk
from fusionkit.checkpoint import save as save_module


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_gives_the_path_and_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = toy_model().train()
    before = fingerprints(model)
    modes = [part.training for part in model.modules()]
    wants = [parameter.requires_grad for parameter in model.parameters()]
    assert fk.save(model, tmp_path / "pets") == tmp_path / "pets"
    assert fk.save(model, str(tmp_path / "pets")) == tmp_path / "pets"
    assert fingerprints(model) == before
    assert [part.training for part in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == wants
    assert names(tmp_path) == ["pets"]


def test_the_library_reads_the_tensors(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = toy_model()
    tensors = load_file(fk.save(model, tmp_path / "pets") / "model.safetensors")
    state = model.state_dict()
    assert set(tensors) == set(state)
    assert all(torch.equal(tensors[name], state[name]) for name in state)


def test_the_config_can_be_read_by_a_person(tmp_path: Path) -> None:
    config = json.loads((fk.save(toy_model(), tmp_path / "pets") / "config.json").read_text())
    assert config["epoch"] == 3
    assert config["recipe"]["num_classes"] == 3
    assert config["branches"]["flow"] == {
        "from": "a plugin given in Python",
        "embed_dim": 16,
        "stages": ["stem", "body", "top"],
        "weights": None,
    }


@pytest.fixture
def lone() -> fk.FusedModel:
    branch = fk.Branch("toy/vector", weights=None)
    return fk.compose({"one": branch}, head="toy/sum", num_classes=2, catalog=toy_catalog())


def test_f042_a_diverged_model_is_refused_and_the_good_one_kept(
    tmp_path: Path, lone: fk.FusedModel
) -> None:
    fk.save(lone, tmp_path / "pets")
    kept = (tmp_path / "pets" / "model.safetensors").read_bytes()
    with torch.no_grad():
        lone.branches["one"].first.weight[3, 1] = torch.nan
    with pytest.raises(fk.CheckpointError) as caught:
        fk.save(lone, tmp_path / "pets")
    message = str(caught.value)
    assert "the model is not saved: 'branches.one.first.weight' holds NaN (1 of 36" in message
    assert "its training has diverged; go back to what was saved before" in message
    assert (tmp_path / "pets" / "model.safetensors").read_bytes() == kept
    assert names(tmp_path) == ["pets"]


def test_f042_a_mask_of_infinities_is_saved(tmp_path: Path) -> None:
    class Masked(SumHead):
        def __init__(self, inputs, *, num_classes: int) -> None:
            super().__init__(inputs, num_classes=num_classes)
            self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))

    class Plugin(ToyPlugin):
        @fk.hookimpl
        def fusionkit_heads(self):
            return {"masked": Masked}

    catalog = fk.Catalog().with_plugin("toy", Plugin())
    branch = fk.Branch("toy/vector", weights=None)
    model = fk.compose({"one": branch}, head="toy/masked", num_classes=2, catalog=catalog)
    again = fk.load(fk.save(model, tmp_path / "pets"), catalog=catalog)
    assert torch.equal(again.head.mask, torch.tensor([0.0, -torch.inf]))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (
            lambda m: setattr(m.head, "extra", nn.Linear(2, 2)),
            r"'head\.extra\.weight' was not there when it was composed",
        ),
        (
            lambda m: m.register_buffer("mean", torch.zeros(3)),
            "'mean' was not there when it was composed",
        ),
        (
            lambda m: setattr(m.branches["one"], "second", nn.Linear(12, 9)),
            r"'branches\.one\.second\.weight' had the shape \(8, 12\) when .* has \(9, 12\)",
        ),
        (
            lambda m: setattr(m.head.out, "one", nn.Identity()),
            r"'head\.out\.one\.weight' is gone since it was composed",
        ),
        (
            lambda m: m.register_parameter("tied", m.head.out["one"].weight),
            r"'tied' was not there when it was composed",
        ),
    ],
)
def test_a_model_that_could_never_be_loaded_is_refused(
    tmp_path: Path, lone: fk.FusedModel, change: Any, cause: str
) -> None:
    fk.save(copy.deepcopy(lone), tmp_path / "kept")
    change(lone)
    with pytest.raises(fk.CheckpointError, match=f"it could not be loaded: {cause}"):
        fk.save(lone, tmp_path / "pets")
    assert names(tmp_path) == ["kept"]


def test_a_parameter_that_no_optimizer_would_see_is_refused(
    tmp_path: Path, lone: fk.FusedModel
) -> None:
    lone.extra = nn.Linear(2, 2)
    del lone.composed_shapes  # as in a model pickled by an older version
    with pytest.raises(fk.CheckpointError, match=r"not be loaded: parameter 'extra\.weight' is in"):
        fk.save(lone, tmp_path / "pets")


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (torch.ones(2, 2).to_sparse(), "'head.odd' is sparse; make it dense first"),
        (torch.ones(2, device="meta"), "'head.odd' is on the meta device"),
        (torch.ones(2, dtype=torch.complex128), r"'head.odd' is of type torch\.complex128"),
    ],
)
def test_f052_what_no_file_holds_is_refused_by_name(
    tmp_path: Path, lone: fk.FusedModel, value: torch.Tensor, cause: str
) -> None:
    lone.head.register_buffer("odd", value)
    with pytest.raises(fk.CheckpointError, match=cause):
        fk.save(lone, tmp_path / "pets")
    assert names(tmp_path) == []


def test_f052_extra_state_is_refused_by_name(tmp_path: Path, lone: fk.FusedModel) -> None:
    class Extra(nn.Identity):
        def get_extra_state(self) -> object:
            return {"version": 1}

    lone.head.add_module("extra", Extra())
    with pytest.raises(fk.CheckpointError, match=r"'head\.extra\._extra_state' is dict"):
        fk.save(lone, tmp_path / "pets")


def test_f052_channels_last_and_tied_tensors_are_saved(tmp_path: Path) -> None:
    model = toy_model().to(memory_format=torch.channels_last)
    again = fk.load(fk.save(model, tmp_path / "pets"), catalog=toy_catalog())
    assert fingerprints(again) == fingerprints(model)


@pytest.mark.parametrize("value", ["pets", {"a": 1}, None, nn.Linear(1, 1)])
def test_what_is_no_model_is_refused(tmp_path: Path, value: object) -> None:
    kind = type(value).__name__
    with pytest.raises(fk.CheckpointError, match=f"save takes a FusedModel, .*; got {kind}"):
        fk.save(value, tmp_path / "pets")  # type: ignore[arg-type]


def test_a_wrapped_model_is_refused_with_what_to_write(tmp_path: Path, lone: fk.FusedModel) -> None:
    with pytest.raises(fk.CheckpointError, match=r"write save\(model\._orig_mod, \.\.\.\)"):
        fk.save(torch.compile(lone), tmp_path / "pets")  # type: ignore[arg-type]
    wrapped = nn.Module()
    wrapped.module = lone
    with pytest.raises(fk.CheckpointError, match=r"write save\(model\.module, \.\.\.\)"):
        fk.save(wrapped, tmp_path / "pets")  # type: ignore[arg-type]


def test_f054_a_bad_target_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object) -> None:
        raise AssertionError("the model was looked at")

    monkeypatch.setattr(save_module, "_tensors", work)
    monkeypatch.setattr(save_module, "describe", work)
    model = toy_model()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "config.json").write_text("mine")
    for name, cause in (("file", "is a file"), ("link", "is a link"), ("foreign", "'config.json'")):
        with pytest.raises(fk.CheckpointError, match=cause):
            fk.save(model, tmp_path / name)
    with pytest.raises(fk.CheckpointError, match="nothing was written"):
        fk.save(model, tmp_path / "file" / "pets")
    assert (tmp_path / "foreign" / "config.json").read_text() == "mine"


def test_f054_a_place_without_permission_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def work(*_: object) -> None:
        raise AssertionError("the model was looked at")

    monkeypatch.setattr(save_module, "_tensors", work)
    model = toy_model()
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o555)
        if root:
            os.seteuid(65534)  # to whom modes apply
        try:
            with pytest.raises(fk.CheckpointError, match=r"cannot save to .*Permission denied"):
                fk.save(model, Path(place) / "pets")
        finally:
            if root:
                os.seteuid(0)
            os.chmod(place, 0o700)


def test_f048_a_disk_without_space_is_told_before_it_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = toy_model()
    fk.save(model, tmp_path / "pets")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(fk.CheckpointError, match=r"the disk is full; 0\.0 MB are needed and 0\.0 "):
        fk.save(model, tmp_path / "pets")
    fk.load(tmp_path / "pets", catalog=toy_catalog())
    assert names(tmp_path) == ["pets"]


def test_f048_a_write_cut_off_by_the_system_keeps_the_old_model(tmp_path: Path) -> None:
    model = toy_model()
    fk.save(model, tmp_path / "pets")
    script = f"""
        import resource, sys
        sys.path[:0] = {sys.path!r}
        import fusionkit as fk
        from saved_toys import toy_model
        model = toy_model(epoch=5)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        try:
            fk.save(model, {str(tmp_path / "pets")!r})
        except fk.CheckpointError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True
    )
    assert "a file may not be that large here" in done.stdout
    assert "what was there before is kept" in done.stdout
    again = fk.load(tmp_path / "pets", catalog=toy_catalog())
    assert again.epoch == 3
    assert fingerprints(again) == fingerprints(model)
    assert names(tmp_path) == ["pets"]


def test_a_recipe_that_does_not_come_back_equal_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    real = save_module.parse_config
    monkeypatch.setattr(save_module, "parse_config", lambda *args: replace(real(*args), epoch=99))
    with pytest.raises(fk.CheckpointError, match="does not come back equal"):
        fk.save(toy_model(), tmp_path / "pets")
    assert names(tmp_path) == []


def test_saving_does_not_copy_the_model(tmp_path: Path) -> None:
    branch = fk.Branch("toy/tiny", weights=None, options={"width": 1500})
    model = fk.compose({"big": branch}, head="toy/sum", num_classes=2, catalog=toy_catalog())
    size = sum(value.nbytes for value in model.state_dict().values())
    assert size > 90e6
    perturb(model)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    fk.save(model, tmp_path / "pets")
    spent = time.process_time() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 0.5 * size
    assert spent < 5
