"""``fusionkit demo`` as a person sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

import fusionkit as fk
from fusionkit.demo.digits import Digits


def run_demo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, "-c", "from fusionkit.cli.main import run; run()", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def run_quickly(folder: Path) -> str:
    done = run_demo("demo", "--quick", "--labels-per-class", "5", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_it_tells_who_won_saves_it_and_can_be_run_again(tmp_path: Path) -> None:
    text = run_quickly(tmp_path)
    for title in ("convnet alone", "transformer alone", "average", "concatenation"):
        assert title in text
    for column in ("accuracy", "trainable", "seconds"):
        assert column in text
    assert "The winner is the " in text
    assert "bit for bit" in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80, "longer than a terminal"
    run_the_three_lines(text, tmp_path)
    model = fk.load(tmp_path / "fusionkit-demo")
    with torch.no_grad():
        assert model(Digits.read().images[:3]).shape == (3, 5)
    before = (tmp_path / "fusionkit-demo" / "model.safetensors").read_bytes()
    run_quickly(tmp_path)
    assert (tmp_path / "fusionkit-demo" / "model.safetensors").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fusionkit-demo"]


def run_the_three_lines(text: str, folder: Path) -> None:
    """Runs what it shows as the way to use the winner, as its reader would."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    assert len(lines) == 3
    lines[2] = f"scores = {lines[2]}\nassert scores.shape == (1797, 5)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(lines)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_place_that_cannot_be_written_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    done = run_demo("demo", "--out", "taken", cwd=tmp_path)
    assert done.returncode == 4
    assert "thesis.txt" in done.stderr
    assert done.stdout == ""
    assert (tmp_path / "taken" / "thesis.txt").read_text() == "mine"


def test_wrong_numbers_are_refused(tmp_path: Path, monkeypatch, piped) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, error = piped("demo", "--labels-per-class", "5000")
    assert code == 2
    assert "labels per class, got 5000" in error
    assert list(tmp_path.iterdir()) == []
    assert piped("demo", "--epochs", "0")[0] == 2


def test_help_says_what_it_does(piped) -> None:
    code, text, _ = piped("demo", "--help")
    assert code == 0
    assert "--labels-per-class" in text
