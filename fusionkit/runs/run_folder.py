"""``RunFolder``: what a run leaves behind, each file written whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit.errors import ConfigError, DataError
from fusionkit.runs.environment import describe_environment
from fusionkit.runs.job_file import anchor_job, format_job
from fusionkit.runs.settings import Job
from fusionkit.runs.texts import write_whole

__all__ = ["RunFolder"]


IDENTITY = "identity.json"
SCHEDULE = "schedule.txt"
ENVIRONMENT = "environment.json"
RECIPE, BEST, STATES, EVENTS = "recipe.yaml", "best", "states", "tensorboard"
FIGURES, RESULT = "metrics.csv", "result.json"
OWN = (IDENTITY, SCHEDULE, ENVIRONMENT, RECIPE, BEST, STATES, EVENTS, FIGURES, RESULT)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder with the job as it was run, what was measured, and what was learned.

    Attributes:
        path: of the folder.
    """

    path: Path

    @property
    def recipe(self) -> Path:
        """The job, with everything that was left open decided."""
        return self.path / RECIPE

    @property
    def best(self) -> Path:
        """The best model, as ``fusionkit.save`` writes it."""
        return self.path / BEST

    @property
    def states(self) -> Path:
        """What the run goes on from when it was stopped."""
        return self.path / STATES

    @property
    def events(self) -> Path:
        """What TensorBoard shows."""
        return self.path / EVENTS

    @property
    def figures(self) -> Path:
        """What was measured in each epoch."""
        return self.path / FIGURES

    @property
    def result(self) -> Path:
        """How the run ended; there once it has."""
        return self.path / RESULT

    def refuse_used(self, *, resume: bool) -> None:
        """Refuses a folder in which something else lies, or a run that would be lost.

        A run that was stopped before it had anything to go on from is no such run: the same
        command begins it anew.

        Raises:
            ConfigError: says what lies there, and what to do.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise ConfigError(f"{self.path} is no folder; choose another with --out")
        there = sorted(each.name for each in self.path.iterdir() if not each.name.startswith("."))
        others = [name for name in there if name not in OWN]
        if others and not self.recipe.exists():
            raise ConfigError(
                f"{self.path} holds other files ({', '.join(others[:3])}); choose another with "
                "--out"
            )
        if self.has_learned() and not resume:
            raise ConfigError(
                f"{self.path} holds a run already; go on with it by --resume, or choose another "
                "folder with --out"
            )

    def has_learned(self) -> bool:
        """Tells whether there is anything that would be lost if the run began anew."""
        states = any(self.states.glob("*step-*")) if self.states.is_dir() else False
        return states or self.best.exists() or self.result.exists()

    def begin(self, job: Job, identity: dict[str, Any], schedule: str) -> None:
        """Writes what is known before the first step, in place of what an empty-handed run left.

        Args:
            job: with everything decided.
            identity: what the run must find again to go on.
            schedule: what learns in which epoch, as text.

        Raises:
            DataError: the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.figures.unlink(missing_ok=True)
            for old in self.events.glob("events.out.tfevents.*"):
                old.unlink()
        except OSError as error:
            raise DataError(f"cannot write {self.path}: {error.strerror or error}") from error
        self.note(job, identity)
        write_whole(self.path / SCHEDULE, lambda file: file.write(schedule + "\n"))
        self._write_json(self.path / ENVIRONMENT, describe_environment())

    def note(self, job: Job, identity: dict[str, Any]) -> None:
        """Writes what the run is, in place of what was written before."""
        self._write_json(self.path / IDENTITY, identity)
        anchored = anchor_job(job, Path.cwd())  # or they would be looked for in the run's folder
        write_whole(self.recipe, lambda file: file.write(format_job(anchored)))

    def read_identity(self) -> dict[str, Any] | None:
        """Gives what ``begin`` was told of the run, or ``None`` where none was begun."""
        return self._read_json(self.path / IDENTITY)

    def end(self, result: dict[str, Any]) -> None:
        """Writes how the run ended."""
        self._write_json(self.result, result)

    def read_result(self) -> dict[str, Any] | None:
        """Gives what ``end`` wrote, or ``None`` where the run has not ended."""
        return self._read_json(self.result)

    def _read_json(self, path: Path) -> dict[str, Any] | None:
        if not path.exists():
            return None
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def _write_json(self, path: Path, data: Any) -> None:
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_whole(path, lambda file: file.write(text))
