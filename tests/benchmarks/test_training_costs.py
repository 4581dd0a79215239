"""The benchmark of training on networks so small that it only shows that it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("FUSIONKIT_CACHE", str(tmp_path))
    import training

    return training


def run_quick(
    training: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *only: str,
) -> str:
    monkeypatch.setattr(sys, "argv", ["training.py", "--quick", "--only", *only])
    assert training.main() == 0
    return capsys.readouterr().out


def test_the_comparisons_run(training, monkeypatch, capsys):
    said = run_quick(training, monkeypatch, capsys, "extraction", "cache", "last-stage", "decoding")
    assert said.count("at most") == 12
    assert "an epoch, of the tutorial's loop" in said
    assert "10 epochs, of 10 times one without" in said
    assert "quick: bounds are not judged" in said
    assert "MISSED" not in said


@pytest.mark.slow
def test_what_fit_adds_is_measured(training, monkeypatch, capsys):
    assert "a step of fit, of the plain loop's" in run_quick(training, monkeypatch, capsys, "fit")


@pytest.mark.usefixtures("training")
def test_a_missed_bound_is_named():
    from training_costs.report import Line, format_lines, missed

    lines = [Line("a", 1.0, 2.0, bound=0.4), Line("b", 1.0, 2.0, bound=0.5), Line("c", 3.0, 1.0)]
    assert [line.title for line in missed(lines)] == ["a"]
    said = format_lines("heading", lines, judged=True).splitlines()
    assert said[0] == "heading"
    assert said[1].endswith("= 0.500  at most 0.40: MISSED")
    assert said[2].endswith("= 0.500  at most 0.50: met")
    assert said[3].endswith("= 3.000")
    assert "met" not in format_lines("heading", lines, judged=False)


@pytest.mark.usefixtures("training")
def test_saved_activations_are_counted_once_and_without_parameters():
    from training_costs.memory import saved_bytes

    model = nn.Sequential(nn.Linear(8, 4, bias=False), nn.Tanh(), nn.Linear(4, 2, bias=False))
    x = torch.randn(16, 8)
    # The input, for the first layer; tanh's answer, for itself and the second layer.
    assert saved_bytes(lambda: model(x).sum(), [model]) == 4 * 16 * (8 + 4)
    model[0].requires_grad_(False)
    assert saved_bytes(lambda: model(x).sum(), [model]) == 4 * 16 * 4
    model.requires_grad_(False)
    assert saved_bytes(lambda: model(x).sum(), [model]) == 0


@pytest.mark.usefixtures("training")
def test_the_peak_is_of_what_is_alive_at_once():
    from training_costs.memory import peak_bytes

    x = torch.zeros(1000)

    def one_by_one():
        for _ in range(5):
            x + 1

    def together():
        return [x + 1 for _ in range(5)]

    def in_place():
        x.add_(1).view(10, 100)

    assert peak_bytes(one_by_one) == 4000
    assert peak_bytes(together) == 20000
    assert peak_bytes(in_place) == 0


@pytest.mark.usefixtures("training")
def test_ways_alternate_and_medians_are_of_cpu_time():
    from training_costs.clock import Cost, alternate, middle, run_epoch

    order: list[str] = []
    found = alternate({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert [len(costs) for costs in found.values()] == [3, 3]
    costs = [Cost(cpu, 9.0, {"data": 10 * cpu}) for cpu in (3.0, 1.0, 2.0)]
    assert middle(costs) == 2.0
    assert middle(costs, "data") == 20.0
    seen: list[int] = []
    parts = run_epoch(iter(range(4)), seen.append)
    assert seen == [0, 1, 2, 3]
    assert set(parts) == {"data", "model"}


@pytest.mark.usefixtures("training")
def test_photographs_are_made_where_there_are_none(tmp_path, monkeypatch):
    from training_costs import photographs

    monkeypatch.setattr(photographs, "SHARED", tmp_path / "nowhere")
    said = photographs.gather(tmp_path / "made", 3)
    assert "made pictures" in said
    assert "nowhere" in said
    counts = [len(list((tmp_path / "made" / "train" / c).iterdir())) for c in ("ants", "bees")]
    assert counts == [2, 1]
