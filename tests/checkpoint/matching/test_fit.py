"""Whether one architecture takes a file, and the branch to write for it."""

from __future__ import annotations

import pytest
import torch
from odd_toys import OddNet, build, odd_catalog
from safetensors.torch import save_file

import fusionkit as fk
from fusionkit.checkpoint.matching.fit import fit
from fusionkit.tensors.source import open_source


@pytest.fixture
def ask(tmp_path):
    def run(tensors):
        path = tmp_path / "net.safetensors"
        save_file(tensors, path)
        return fit(odd_catalog().backbone("odd/odd"), open_source(path), str(path))

    return run


def state(**options):
    torch.manual_seed(1)
    return OddNet(**options).state_dict()


FITTING = {
    "as it is": (state(), "fits", {}),
    "prefix": ({f"module.{name}": v for name, v in state().items()}, "fits", {}),
    "left over": (
        {**state(), "fc.weight": torch.ones(2), "fc.bias": torch.ones(2)},
        "fits with the exceptions named below",
        {"ignore": ["fc.*"]},
    ),
    "missing": (
        {name: value for name, value in state().items() if name != "three.bias"},
        "fits with the exceptions named below",
        {"missing": ["three.bias"]},
    ),
    "channels": (state(in_channels=1), "fits", {"in_channels": 1}),
}


@pytest.mark.parametrize("name", FITTING)
def test_the_branch_that_is_told_loads_the_file(ask, name):
    tensors, verdict, options = FITTING[name]
    found = ask(tensors)
    assert found.verdict == verdict
    for option, value in options.items():
        assert f"{option}={value!r}" in found.branch
    build({"a": eval(found.branch, {"fk": fk})})  # strictly, or it raises


def test_what_would_leave_much_of_it_random_does_not_fit(ask):
    found = ask({name: value for name, value in state().items() if name != "three.weight"})
    assert (found.verdict, found.branch) == ("does not fit", "")
    assert found.report.missing == ("three.weight",)


def test_two_sets_are_told_apart_by_a_renaming(ask):
    both = {f"{who}.{name}": v for who in ("teacher", "student") for name, v in state().items()}
    found = ask(both)
    assert len(found.others) == 1
    assert "rename={'student.': ''}" in found.branch
    assert "ignore=['teacher.*']" in found.branch
    build({"a": eval(found.branch, {"fk": fk})})


def test_another_network_does_not_fit(ask):
    found = ask({"stem.weight": torch.zeros(3, 3)})
    assert (found.verdict, found.branch) == ("does not fit", "")
    wide = ask(state(width=16))
    assert wide.verdict == "does not fit"
    assert wide.report.mismatched
