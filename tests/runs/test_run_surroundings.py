"""What a run must leave as it was: random numbers and torch's switches."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from run_toys import CATALOG, job_of, put_pictures

from fusionkit.plugins.process import flushes_denormals
from fusionkit.runs.fit import fit
from fusionkit.runs.surroundings import keep_surroundings


def drawn():
    """Gives what each generator draws next."""
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def seed():
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)


def change_and_fail():
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("high")
    drawn()
    raise ZeroDivisionError


def test_random_numbers_go_on_after_a_run(tmp_path):
    pytest.importorskip("lightning", reason="needs pip install 'torch-fusionkit[train]'")
    job = job_of(put_pictures(tmp_path / "pictures"), epochs=1)
    seed()
    expected = drawn(), drawn()
    seed()
    first = drawn()
    fit(job, tmp_path / "out", catalog=CATALOG)
    assert (first, drawn()) == expected


def test_switches_and_random_numbers_are_put_back_where_a_run_fails():
    seed()
    expected = drawn()
    seed()
    with pytest.raises(ZeroDivisionError), keep_surroundings():
        change_and_fail()
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert torch.get_float32_matmul_precision() == "highest"
    assert drawn() == expected


def test_numbers_too_small_to_be_normal_are_zeros_in_a_run_and_only_there(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr("fusionkit.runs.fit._fit", lambda *given: found.append(flushes_denormals()))
    fit(job_of(tmp_path), tmp_path / "out", catalog=CATALOG)
    assert (found, flushes_denormals()) == ([True], False)


def test_a_cuda_that_was_not_in_use_begins_where_its_seed_says(monkeypatch):
    if torch.cuda.is_initialized():
        pytest.skip("CUDA is in use already")
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", list)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    torch.default_generator.manual_seed(7)
    with keep_surroundings():
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        torch.default_generator.manual_seed(3)
    assert seeds == [7]
