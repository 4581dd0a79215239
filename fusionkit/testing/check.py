"""One check: a question to a subject, and what came of it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeAlias, TypeVar

import torch

from fusionkit.plugins.guard import undo_side_effects
from fusionkit.testing.seed import set_seed

__all__ = [
    "Check",
    "Finding",
    "NotApplicableError",
    "Outcome",
    "Status",
    "check",
    "describe_error",
]

Subject = TypeVar("Subject")
Status: TypeAlias = Literal["passed", "failed", "skipped", "expected", "not run"]

SHOWN_FRAMES = 2


class NotApplicableError(Exception):
    """Raised by a check that a subject gives no occasion for; its message is the cause."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        what: what happened, with names and figures.
        todo: what to write instead.
    """

    what: str
    todo: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one check.

    Attributes:
        check: its name.
        status: ``"expected"`` is a failure that was announced, with its cause.
        findings: all that is wrong; empty unless it failed.
        cause: why it was skipped, not run, or expected to fail.
        seconds: how long it took.
    """

    check: str
    status: Status
    findings: tuple[Finding, ...] = ()
    cause: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Check(Generic[Subject]):
    """A question to a backbone, a head or a plugin.

    Attributes:
        name: what ``only`` and ``expected_failures`` call it by.
        promise: what must hold, a sentence.
        ask: yields what is wrong. Whatever it raises is a finding too.
        todo: what to do when it raises.
        first: whether nothing else is worth asking while this one fails.
        on_meta: whether it can be asked of a subject without data, on the meta device.
        slow: whether it is left out unless it is asked for by name.
    """

    name: str
    promise: str
    ask: Callable[[Subject], Iterator[Finding]] = field(repr=False)
    todo: str = field(repr=False)
    first: bool = False
    on_meta: bool = False
    slow: bool = False

    def __str__(self) -> str:
        return self.name

    def run(self, subject: Subject) -> Outcome:
        """Gives the outcome of asking ``subject``, from a fixed random state.

        That is put back afterwards, and so is what else a stranger's code changes for everybody.
        """
        began = time.perf_counter()
        findings: list[Finding] = []
        status: Status = "passed"
        cause = ""
        with undo_side_effects(), torch.random.fork_rng(devices=()):
            set_seed(0)
            try:
                findings.extend(self.ask(subject))
            except NotApplicableError as error:
                status, cause = "skipped", str(error)
            except Exception as error:  # a stranger's code raises what it likes; all of it is told
                findings.append(Finding(describe_error(error), self.todo))
        if findings:
            status = "failed"
        return Outcome(self.name, status, tuple(findings), cause, time.perf_counter() - began)


def check(
    todo: str, *, first: bool = False, on_meta: bool = False, slow: bool = False
) -> Callable[[Callable[[Subject], Iterator[Finding]]], Check[Subject]]:
    """Makes a check of a generator function: its name, and its docstring's first sentence.

    Args:
        todo: what to do when the function raises something of its own.
        first: see ``Check``.
        on_meta: see ``Check``.
        slow: see ``Check``.
    """

    def decorate(ask: Callable[[Subject], Iterator[Finding]]) -> Check[Subject]:
        promise = (ask.__doc__ or "").strip().splitlines()[0]
        return Check(ask.__name__, promise, ask, todo, first, on_meta, slow)

    return decorate


def describe_error(error: Exception) -> str:
    """Gives an error with the last places of code that it went through."""
    frames = traceback.extract_tb(error.__traceback__)[-SHOWN_FRAMES:]
    places = " < ".join(
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames)
    )
    message = str(error).strip() or "no message"
    return f"{type(error).__name__}: {message[:1000]} (at {places})"
