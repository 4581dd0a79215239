"""``fusionkit demo`` as a person sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
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


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo")
    done = run_demo("demo", "--quick", "--labels-per-class", "5", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder, done.stdout


def test_it_ends_with_a_table_of_all_four_and_says_which_won(finished: tuple[Path, str]) -> None:
    _, text = finished
    for title in ("convnet alone", "transformer alone", "average", "concatenation"):
        assert title in text
    for column in ("accuracy", "trainable", "seconds"):
        assert column in text
    assert "The winner is the " in text
    assert "bit for bit" in text


def test_no_line_is_longer_than_a_terminal(finished: tuple[Path, str]) -> None:
    assert max(len(line.rstrip()) for line in finished[1].splitlines()) <= 80


def test_the_three_lines_that_it_shows_work(finished: tuple[Path, str]) -> None:
    folder, text = finished
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


def test_the_winner_is_saved_and_takes_raw_images(finished: tuple[Path, str]) -> None:
    model = fk.load(finished[0] / "fusionkit-demo")
    with torch.no_grad():
        assert model(Digits.read().images[:3]).shape == (3, 5)


def test_it_can_be_run_again_in_the_same_place(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    before = (folder / "fusionkit-demo" / "model.safetensors").read_bytes()
    done = run_demo("demo", "--quick", "--labels-per-class", "5", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "fusionkit-demo" / "model.safetensors").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["fusionkit-demo"]


def test_a_place_that_cannot_be_written_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    done = run_demo("demo", "--out", "taken", cwd=tmp_path)
    assert done.returncode == 4
    assert "thesis.txt" in done.stderr
    assert done.stdout == ""
    assert (tmp_path / "taken" / "thesis.txt").read_text() == "mine"


def test_wrong_numbers_are_refused(tmp_path: Path) -> None:
    done = run_demo("demo", "--labels-per-class", "5000", cwd=tmp_path)
    assert done.returncode == 2
    assert "labels per class, got 5000" in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert run_demo("demo", "--epochs", "0", cwd=tmp_path).returncode == 2


def test_help_says_what_it_does(tmp_path: Path) -> None:
    done = run_demo("demo", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "--labels-per-class" in done.stdout
