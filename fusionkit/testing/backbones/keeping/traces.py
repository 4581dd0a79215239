"""Whether building, running and training a backbone changes what the whole process shares."""

from __future__ import annotations

import builtins
import io
import multiprocessing
import os
import random
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from fusionkit.testing.backbones.keeping.another import build_anew
from fusionkit.testing.backbones.keeping.answers import exercise
from fusionkit.testing.backbones.subject import BackboneSubject, first_values
from fusionkit.testing.check import Finding, check
from fusionkit.testing.seed import draws_otherwise
from fusionkit.testing.surroundings import put_back
from fusionkit.testing.words import some

__all__ = ["touches_nothing_global"]

SEEDS = (1234, 5678)
FILES = Path("/proc/self/fd")


@check("let building, running and training work twice in one process")
def touches_nothing_global(subject: BackboneSubject) -> Iterator[Finding]:
    """Building, running and training leave seeds, modes, environment, files and output alone."""
    assert subject.answer is not None
    found = _round(subject, SEEDS[0])
    if found:  # what a library does once, when it is first used, is not meant
        again = _round(subject, SEEDS[1])
        found = {what: end for what, end in found.items() if again.get(what, _NEVER) == end}
    for what in found:
        yield Finding(
            f"building, running and training changes {what}",
            "leave that to the program: pass generators and devices on, and undo what must be "
            "changed for a while in a `finally`",
        )
    values = first_values(subject.spare) if subject.spare is not None else {}
    if "weights" in subject.accepts and _equal_and_random(subject.drawn, values):
        yield Finding(
            "built from two random seeds, it has the same parameters twice",
            "draw random weights from torch's own generator, and seed nothing",
        )


_NEVER = object()


def _round(subject: BackboneSubject, seed: int) -> dict[str, Any]:
    """Gives what a life of a backbone changed, and what distinguishes it from another change."""
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        notes = stack.enter_context(put_back())
        for watch in WATCHES:
            stack.enter_context(watch(found, seed))
        backbone = build_anew(subject)
        built = subject.undone
        exercise(subject, backbone)
    found.update(dict.fromkeys((*built, *notes)))
    subject.spare = backbone
    return found


@contextmanager
def _environment(found: dict[str, Any], seed: int) -> Iterator[None]:
    before = dict(os.environ)
    put = os.putenv
    set_again: set[str] = set()

    def record(name: Any, value: Any) -> None:
        key = os.fsdecode(name)
        if os.environ.get(key) == os.fsdecode(value):
            set_again.add(key)
        put(name, value)

    with patch.object(os, "putenv", record):
        yield
    for name in sorted(before.keys() | os.environ.keys()):
        old, new = before.get(name), os.environ.get(name)
        if old != new or name in set_again:
            found[f"the environment variable {name}"] = None
        if old is None and new is not None:
            del os.environ[name]
        elif old is not None and old != new:
            os.environ[name] = old


@contextmanager
def _threads(found: dict[str, Any], seed: int) -> Iterator[None]:
    """Tells who sets the number that there is already, which is another elsewhere."""
    set_to = torch.set_num_threads

    def record(count: int) -> None:
        if count == torch.get_num_threads():
            found["the number of torch's threads"] = None
        set_to(count)

    with patch.object(torch, "set_num_threads", record):
        yield


@contextmanager
def _filters(found: dict[str, Any], seed: int) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.filterwarnings("ignore", message=".*")
        before = list(warnings.filters)
        yield
        if list(warnings.filters) != before:
            found["the filters of warnings"] = None


@contextmanager
def _path(found: dict[str, Any], seed: int) -> Iterator[None]:
    before = list(sys.path)
    yield
    if sys.path != before:
        added = list(Counter(sys.path) - Counter(before))
        found[f"sys.path{f' (adds {added[0]!r})' if added else ''}"] = None
        sys.path[:] = before


@contextmanager
def _random_states(found: dict[str, Any], seed: int) -> Iterator[None]:
    """Tells who was seeded from who was drawn from: seeded, the end is the same each time."""
    numpy: Any = sys.modules.get("numpy")
    with draws_otherwise(seed):
        began = random.getstate(), _numpy_state(numpy)
        yield
        if torch.initial_seed() != seed:
            found["torch's random seed"] = torch.initial_seed()
        ends = random.getstate(), _numpy_state(numpy)
        for what, start, end in zip(("Python", "numpy"), began, ends, strict=True):
            if start != end:
                found[f"{what}'s random seed"] = end


def _numpy_state(numpy: Any) -> Any:
    if numpy is None:
        return None
    kind, keys, *rest = numpy.random.get_state()
    return (kind, keys.tobytes(), *rest)


@contextmanager
def _left_open(found: dict[str, Any], seed: int) -> Iterator[None]:
    before, running = _open_files(), set(threading.enumerate())
    children = set(multiprocessing.active_children())
    yield
    files = _open_files() - before
    if files:
        found[f"what files are open: {some(files)}"] = None
    started = set(threading.enumerate()) - running
    if started:
        found["what threads run: it leaves one behind"] = None
    if set(multiprocessing.active_children()) - children:
        found["what processes run: it leaves one behind"] = None


@contextmanager
def _printed(found: dict[str, Any], seed: int) -> Iterator[None]:
    text = StringIO()
    with redirect_stdout(text):
        yield
    if told := text.getvalue().strip():
        found[f"standard output (it prints {told.splitlines()[0][:80]!r})"] = None


@contextmanager
def _written(found: dict[str, Any], seed: int) -> Iterator[None]:
    """Tells which files were opened to be written to, and stay."""
    opened = io.open
    places: dict[str, None] = {}

    def record(file: Any, mode: str = "r", *arguments: Any, **keywords: Any) -> Any:
        if set(mode) & set("wax+") and isinstance(file, (str, os.PathLike)):
            places[os.fspath(file)] = None
        return opened(file, mode, *arguments, **keywords)

    with patch.object(io, "open", record), patch.object(builtins, "open", record):
        yield
    if kept := [place for place in places if Path(place).is_file()]:
        found[f"what is in {some(kept)}"] = None


def _open_files() -> Counter[str]:
    """Gives the paths of open files, where the system tells."""
    places: Counter[str] = Counter()
    for entry in FILES.iterdir() if FILES.is_dir() else ():
        try:
            place = os.readlink(entry)
        except OSError:
            continue  # closed meanwhile, as the listing itself
        if place.startswith("/") and not place.startswith(("/dev/", "/proc/")):
            places[place] += 1
    return places


WATCHES = (
    *(_environment, _threads, _filters, _path, _random_states, _left_open),
    *(_printed, _written),
)


def _equal_and_random(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    """Tells whether all parameters agree though some look drawn, with no value twice."""
    drawn = [value for value in ours.values() if len(set(value.tolist())) == len(value) > 2]
    same = ours.keys() == theirs.keys() and all(
        torch.equal(value, theirs[name]) for name, value in ours.items()
    )
    return bool(drawn) and same
