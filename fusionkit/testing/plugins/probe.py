"""Imports and lists one plugin in a process of its own, and writes down what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from fusionkit.plugins.discovery import GROUP, Candidate

__all__ = ["Trace", "probe"]

PATIENCE = 300.0
"""Seconds for importing torch, the plugin, and its libraries on a slow machine."""


@dataclass(slots=True)
class Trace:
    """What a plugin did in a fresh process.

    Attributes:
        error: why it could not be imported or asked; empty if it could.
        modules: top-level modules that importing and asking it imported, beyond fusionkit's.
        printed: what it wrote to stdout and stderr.
        changes: what it changed for everybody.
        attempts: addresses that it reached for.
        built: how many modules of torch it made.
        names: how many names it lists.
        seconds: how long the second listing took; the first may import a library.
        listing_error: why its names could not be listed.
        listing_attempts: addresses that listing reached for.
        listing_built: how many modules of torch listing made.
    """

    error: str = ""
    modules: list[str] = field(default_factory=list)
    printed: str = ""
    changes: list[str] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)
    built: int = 0
    names: int = 0
    seconds: float = 0.0
    listing_error: str = ""
    listing_attempts: list[str] = field(default_factory=list)
    listing_built: int = 0


def probe(candidate: Candidate) -> Trace:
    """Gives what a plugin does when a fresh process imports it, asks its hooks, and lists."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "trace.json"
        path = os.pathsep.join(dict.fromkeys(place for place in sys.path if place))
        command = [sys.executable, "-m", __name__, candidate.name, candidate.value, str(out)]
        try:
            done = subprocess.run(  # noqa: S603 -- this very interpreter
                command,
                env={**os.environ, "PYTHONPATH": path},
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Trace(error=f"it did not come back within {PATIENCE:.0f} seconds")
        if not out.is_file():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return Trace(error=f"the process ended with {done.returncode}: {last:.300}")
        return Trace(**json.loads(out.read_text(encoding="utf-8")))


def main(name: str, value: str, out: str) -> None:
    """Does in this process what ``probe`` asks for."""
    import fusionkit
    from fusionkit.plugins.guard import undo_side_effects
    from fusionkit.plugins.question import Offer, ask
    from fusionkit.testing.network import blocked_network
    from fusionkit.testing.surroundings import put_back

    for public in fusionkit.__all__:
        getattr(fusionkit, public)
    trace = Trace()
    before = set(sys.modules)
    offer = Offer()
    with _captured(trace):
        with (
            undo_side_effects() as broad,
            put_back() as notes,
            blocked_network() as attempts,
            _counted() as built,
        ):
            try:
                plugin = EntryPoint(name, value, GROUP).load()
                offer = ask(plugin)
            except BaseException as error:  # SystemExit, and panics of extension modules, too
                trace.error = "".join(traceback.format_exception_only(error)).strip()
        trace.modules = sorted({each.partition(".")[0] for each in set(sys.modules) - before})
        trace.changes = list(dict.fromkeys([*notes, *_beyond(notes, broad)]))
        trace.attempts, trace.built = attempts, len(built)
        if not trace.error:
            with blocked_network() as attempts, _counted() as built:
                _list(offer.backbones, offer.heads, trace)
            trace.listing_attempts, trace.listing_built = attempts, len(built)
    Path(out).write_text(json.dumps(asdict(trace)), encoding="utf-8")


def _beyond(notes: list[str], broad: list[str]) -> Iterator[str]:
    """Gives what only the second list tells, in the words of the first."""
    for note in broad:
        what = note.removeprefix("changed ").partition(" from ")[0]
        if not any(each.startswith(what) for each in notes):
            yield what


def _list(backbones: object, heads: object, trace: Trace) -> None:
    try:
        for _ in range(2):
            began = time.perf_counter()
            names = [*iter(backbones), *iter(heads)]  # type: ignore[call-overload]
            trace.seconds = time.perf_counter() - began
        trace.names = len(names)
    except BaseException as error:  # as above
        trace.listing_error = "".join(traceback.format_exception_only(error)).strip()


@contextmanager
def _captured(trace: Trace) -> Iterator[None]:
    """Keeps what is written to stdout and stderr, by C libraries too."""
    sys.stdout.flush()
    sys.stderr.flush()
    old = [os.dup(number) for number in (1, 2)]
    with TemporaryFile() as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in zip((1, 2), old, strict=True):
                os.dup2(copy, number)
                os.close(copy)
            file.seek(0)
            trace.printed = file.read().decode(errors="replace").strip()


@contextmanager
def _counted() -> Iterator[list[str]]:
    """Gives the classes of all modules that are made in the block."""
    nn = import_module("torch.nn")
    made: list[str] = []
    start = nn.Module.__init__

    def count(self: object, *arguments: object, **keywords: object) -> None:
        made.append(type(self).__name__)
        start(self, *arguments, **keywords)

    nn.Module.__init__ = count
    try:
        yield made
    finally:
        nn.Module.__init__ = start


if __name__ == "__main__":
    main(*sys.argv[1:])
