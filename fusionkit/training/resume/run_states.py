"""``RunStates``: the states of one run, of which the newest that is whole is gone on from."""

from __future__ import annotations

import errno
import os
import re
import shutil
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from fusionkit.checkpoint.leftovers import sweep
from fusionkit.errors import CheckpointError, ConfigError, ResumeError
from fusionkit.processes import rank
from fusionkit.training.resume.lock import hold_run
from fusionkit.training.state.folder import read_state, write_state

__all__ = ["RunStates"]

STEP = re.compile(r"step-(\d{8,})")
LEFTOVER = re.compile(r"\.(step-\d{8,})\.(new|old)-[0-9a-f]{12}")


class RunStates:
    """Folders ``step-00000123`` in the folder of a run, which one process at a time may write.

    Used as ``with RunStates("runs/pets") as states``, which finds out before hours are spent that
    the folder cannot be written, or that another run is at work in it, and removes what a killed
    run left half written. Other files in the folder are left alone.

    Of several processes that train together, only that of rank 0 writes; what the others write is
    passed over, and all read. Where this is made before the processes have found each other,
    ``writes`` says whether this is that one.

    Attributes:
        folder: of the run; made if need be.
        keep: how many states are kept. Older ones go after a new one is in place.
        inexact: what ``resume_run`` could not restore to the bit, if it was told to go on.
    """

    def __init__(
        self, folder: str | PathLike[str], *, keep: int = 2, writes: bool | None = None
    ) -> None:
        if type(keep) is not int or keep < 1:
            raise ConfigError(
                f"RunStates: keep is how many states stay, at least 1, got {keep!r:.80}"
            )
        self.folder = Path(folder).absolute()
        self.keep = keep
        self.inexact: tuple[str, ...] = ()
        self._writes = rank() == 0 if writes is None else writes
        self._looked = False
        self._damaged: dict[int, ResumeError] = {}
        self._held: ExitStack | None = None

    def __enter__(self) -> Self:
        """Takes the folder.

        Raises:
            CheckpointError: it cannot be written.
            ResumeError: a living process uses it.
        """
        if not self._writes:
            return self
        held = ExitStack()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "it cannot be written", str(self.folder))
            held.enter_context(hold_run(self.folder))
            for name in {found[1] for found in map(LEFTOVER.fullmatch, self._names()) if found}:
                sweep(self.folder / name)
        except OSError as error:
            held.close()
            raise CheckpointError(f"cannot write to the run's folder: {error}") from error
        self._held = held
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def steps(self) -> tuple[int, ...]:
        """Gives the steps at which states were saved, in their order as numbers."""
        found = (STEP.fullmatch(name) for name in self._names())
        steps = (int(match[1]) for match in found if match)
        return tuple(sorted(step for step in steps if self.path(step).is_dir()))

    def path(self, step: int) -> Path:
        """Gives the place of the state that was saved at a step."""
        return self.folder / f"step-{step:08d}"

    def newest(self) -> tuple[Path, dict[Any, Any]] | None:
        """Gives the newest state that is whole, and its place; ``None`` where there is no state.

        Every byte of it is checked. Newer ones that are damaged are passed over with a warning,
        and set aside as ``damaged-step-...`` by the next write.

        Raises:
            ResumeError: there are states, but all are damaged.
        """
        self._looked = True
        self._damaged.clear()
        for step in reversed(self.steps()):
            try:
                state = read_state(self.path(step))
            except ResumeError as error:
                self._damaged[step] = error
                continue
            for each in self._damaged.values():
                warnings.warn(f"{each}; going on from step {step} instead", stacklevel=2)
            return self.path(step), state
        if self._damaged:
            first = next(iter(self._damaged.values()))
            raise ResumeError(
                f"none of the {len(self._damaged)} states in {self.folder} is whole: {first}; to "
                "begin anew, choose another folder"
            ) from first
        return None

    def write(self, step: int, state: Mapping[Any, Any]) -> Path:
        """Writes a state, and then removes those that are more than ``keep``.

        Raises:
            CheckpointError: the disk is full, or the state holds what cannot be written; the
                states before it are kept.
            ResumeError: states of an earlier run are there, and nobody has asked for the newest.
            ConfigError: the step is less than one before, or this is outside of the block.
        """
        target = self.path(step)
        if not self._writes:
            return target
        if self._held is None:
            raise ConfigError('a run is written inside of "with RunStates(folder) as states:"')
        self.make_room(step)
        before = self.steps()
        try:
            write_state(target, state)
        except CheckpointError as error:
            place = f"; the run can go on from {self.path(before[-1]).name}" if before else ""
            raise CheckpointError(f"{error}{place}") from error
        self.prune()
        return target

    def make_room(self, step: int) -> None:
        """Sets damaged states aside before one is written; ``write`` does it by itself.

        A trainer that writes to ``path(step)`` itself calls it before, and ``prune`` afterwards.

        Raises:
            ResumeError: states of an earlier run are there, and nobody has asked for the newest.
            ConfigError: the step is less than one before.
        """
        before = self.steps()
        if before and not self._looked:
            raise ResumeError(
                f"{self.folder} holds {self.path(before[-1]).name} of an earlier run; go on from "
                "it with resume_run, or choose another folder"
            )
        self._looked = True
        if not self._writes:
            return
        while self._damaged:
            self._set_aside(self._damaged.popitem()[0])
        before = self.steps()
        if before and step < before[-1]:
            raise ConfigError(f"a state of step {step} comes after one of step {before[-1]}")

    def prune(self) -> None:
        """Removes the oldest states, those that are more than ``keep``."""
        if self._writes:
            for old in self.steps()[: -self.keep]:
                shutil.rmtree(self.path(old), ignore_errors=True)

    def _set_aside(self, step: int) -> None:
        """Renames a state that ``newest`` passed over, so that it is not in the run's way."""
        path = self.path(step)
        aside = self.folder / f"damaged-{path.name}"
        if aside.exists():
            shutil.rmtree(aside)
        path.rename(aside)

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.folder)
        except FileNotFoundError:
            return []
