"""A few of the kills that the benchmark of that name does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "kill_runs.py"


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="forks its runs")
def test_p7_killed_runs_go_on_to_the_same_bits() -> None:
    command = [sys.executable, str(BENCHMARK), "--kills", "6"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *kills, verdict = done.stdout.splitlines()
    assert len(kills) == 6
    assert all(line.startswith("killed after ") for line in kills)
    assert any("goes on at epoch" in line for line in kills)
    assert verdict.startswith("6 kills: ")
    assert verdict.endswith("runs came to their end, all with the same bits as unbroken ones")
