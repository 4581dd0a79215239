"""The example on balanced training, as it is, shorter."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch


@pytest.fixture(scope="module")
def example() -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "balanced_training.py"
    spec = importlib.util.spec_from_file_location("balanced_training", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["balanced_training"] = module
    spec.loader.exec_module(module)
    return module


def test_it_runs_and_shows_a_table(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["balanced_training.py", "--epochs", "1", "--seeds", "1"])
    monkeypatch.setenv("COLUMNS", "100")
    example.main()
    shown = capsys.readouterr().out
    assert all(title in shown for title in example.WAYS)


def test_each_way_helps_the_branch_that_was_left_behind(example: ModuleType) -> None:
    told = {title: rows.mean(0) for title, rows in example.compare(30, 3).items()}
    fused, _, quiet = told.pop("the fused loss alone").tolist()
    for title, means in told.items():
        assert means[2].item() > quiet + 0.05, title
        assert means[0].item() > fused + 0.005, title


def test_the_loud_input_shows_nine_of_ten_and_the_quiet_one_needs_a_product(
    example: ModuleType,
) -> None:
    inputs, labels = example.draw(4000, seed=0)
    plain = (inputs["loud"][:, 0] > 0) == labels.bool()
    assert plain.float().mean().item() == pytest.approx(0.95, abs=0.02)
    product = inputs["quiet"][:, 0] * inputs["quiet"][:, 1]
    assert torch.equal(product > 0, labels.bool())
    for column in range(2):
        alone = (inputs["quiet"][:, column] > 0) == labels.bool()
        assert alone.float().mean().item() == pytest.approx(0.5, abs=0.03)
