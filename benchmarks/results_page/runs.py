"""Runs ``fusionkit fit`` in processes of its own, once for each row and seed."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from results_page.studies import Row, Study, branch_settings, narrow

__all__ = ["Outcome", "run_row"]

RECORD = "command.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one command gave.

    Attributes:
        command: as it was typed, after ``python -m``.
        accuracy: of the best model on what was held out.
        loss: of the same.
        seconds: of training and validation, as ``fit`` says it.
        cpu: seconds of the whole command on all cores, imports and saving among them.
        wall: seconds that the whole command took.
    """

    command: tuple[str, ...]
    accuracy: float
    loss: float
    seconds: float
    cpu: float
    wall: float


def run_row(study: Study, row: Row, data: Path, folder: Path, seeds: range) -> list[Outcome]:
    """Gives an outcome for each seed; what lies in the folder already is not run again.

    Args:
        study: names recipe, data and weights.
        row: what is changed.
        data: the shared data.
        folder: for the row's runs.
        seeds: of the runs.
    """
    examples = Path(__file__).parents[2] / "examples"
    recipe = narrow(examples / study.recipe, row, folder)
    settings = [*branch_settings(study, row, data / "weights"), *row.settings]
    outcomes = []
    for seed in seeds:
        out = folder / f"seed-{seed}"
        record = out / RECORD
        if not record.exists():
            command = ["fusionkit", "fit", str(recipe), "--data", str(data / study.data)]
            command += ["--out", str(out), "--seed", str(seed)]
            command += [word for setting in settings for word in ("--set", setting)]
            outcome = _run(command, out)
            record.write_text(json.dumps(asdict(outcome), indent=2), encoding="utf-8")
        outcomes.append(Outcome(**json.loads(record.read_text(encoding="utf-8"))))
    return outcomes


def _run(command: list[str], out: Path) -> Outcome:
    before, start = _children_seconds(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )
    wall = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\nends with {done.returncode}:\n{done.stderr}")
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    figures = {name: result[name] for name in ("accuracy", "loss", "seconds")}
    return Outcome(tuple(command), **figures, cpu=_children_seconds() - before, wall=wall)


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
