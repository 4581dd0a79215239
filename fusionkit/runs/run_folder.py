"""``RunFolder``: what a run leaves behind, each file written whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit.errors import ConfigError
from fusionkit.runs.environment import describe_environment
from fusionkit.runs.job_file import format_job
from fusionkit.runs.settings import Job
from fusionkit.runs.texts import write_whole

__all__ = ["RunFolder"]


IDENTITY = "identity.json"


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
        return self.path / "recipe.yaml"

    @property
    def best(self) -> Path:
        """The best model, as ``fusionkit.save`` writes it."""
        return self.path / "best"

    @property
    def states(self) -> Path:
        """What the run goes on from when it was stopped."""
        return self.path / "states"

    @property
    def figures(self) -> Path:
        """What was measured in each epoch."""
        return self.path / "metrics.csv"

    @property
    def result(self) -> Path:
        """How the run ended; there once it has."""
        return self.path / "result.json"

    def begin(self, job: Job, identity: dict[str, Any], schedule: str) -> None:
        """Writes what is known before the first step.

        Args:
            job: with everything decided.
            identity: what the run must find again to go on.
            schedule: what learns in which epoch, as text.

        Raises:
            DataError: the folder cannot be written.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._write_json(self.path / IDENTITY, identity)
        write_whole(self.recipe, lambda file: file.write(format_job(job)))
        write_whole(self.path / "schedule.txt", lambda file: file.write(schedule + "\n"))
        self._write_json(self.path / "environment.json", describe_environment())

    def refuse_used(self, *, resume: bool) -> None:
        """Refuses a folder in which another run, or something else, lies."""
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise ConfigError(f"{self.path} is no folder; choose another with --out")
        there = sorted(each.name for each in self.path.iterdir() if not each.name.startswith("."))
        if there and not self.recipe.exists():
            raise ConfigError(
                f"{self.path} holds other files ({', '.join(there[:3])}); choose another with --out"
            )
        if there and not resume:
            raise ConfigError(
                f"{self.path} holds a run already; go on with it by --resume, or choose another "
                "folder with --out"
            )

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
        text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
        write_whole(path, lambda file: file.write(text))
