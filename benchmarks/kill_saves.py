"""Kills saves at random moments and fills the disk under them: the old model or the new, whole.

Run ``python benchmarks/kill_saves.py --kills 200 --sizes 100``. A child process saves generation
after generation, every other one in shards, each with values of its own, and is killed. Then what
``fusionkit.load`` gives must be the last generation that was acknowledged, or the one after it,
every bit of it, and the next save must leave nothing but the folder. Half of the kills are done
where two folders cannot change places in one step, as on some file systems.

The disk is filled by a limit on the size of a file, and where the system lets us (as root on
Linux) by a small file system in memory, at sizes spread from nothing to more than enough. A save
must fail with ``CheckpointError`` and leave the old model, or give the new one.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from fuzzing.seeds import catalog

import fusionkit as fk
from fusionkit.checkpoint import folder as folder_module

SHARD = 30_000
NEW_NAMESPACE = 0x00020000
PRIVATE = 1 << 18 | 16384  # MS_PRIVATE | MS_REC


class BrokenSaveError(Exception):
    """A save that was cut off left what it must not."""


def compose() -> fk.FusedModel:
    """Gives a model of some hundred kilobytes."""
    branches = {
        name: fk.Branch("tiny/net", weights=None, options={"width": 64, "depth": 6})
        for name in ("rgb", "flow")
    }
    return fk.compose(branches, fk.Head("concat"), num_classes=7, catalog=CATALOG)


def save(model: fk.FusedModel, generation: int, target: Path) -> None:
    """Saves a model of which every value says of which generation it is."""
    with torch.no_grad():
        for value in model.state_dict().values():
            value.fill_(generation)
    shards = SHARD if generation % 2 else None
    fk.save(model.set_epoch(generation), target, max_shard_size=shards)


def generation_of(target: Path) -> int:
    """Gives the generation that a folder holds, after comparing every value."""
    model = fk.load(target, catalog=CATALOG)
    for name, value in model.state_dict().items():
        if not bool((value == model.epoch).all()):
            raise BrokenSaveError(f"{name} is not of generation {model.epoch}")
    return model.epoch


def leftovers(target: Path) -> list[str]:
    """Gives the names of what is beside a folder."""
    return sorted(path.name for path in target.parent.iterdir() if path != target)


def kill_saves(target: Path, kills: int, chance: random.Random) -> Counter[str]:
    """Kills children that save, and looks at what they leave after each kill."""
    model, seen = compose(), Counter[str]()
    save(model, 0, target)
    last = 0
    for kill in range(kills):
        swaps = kill % 2 == 0
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            if not swaps:
                folder_module.swap = lambda *_: False
            try:
                while True:
                    last += 1
                    save(model, last, target)
                    os.write(writer, f"{last} ".encode())
            finally:
                os._exit(1)
        os.close(writer)
        time.sleep(chance.uniform(0.001, 0.2))
        os.kill(child, signal.SIGKILL)
        if not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            raise BrokenSaveError(f"kill {kill}: the save failed before it was killed")
        with os.fdopen(reader, "rb") as pipe:
            acknowledged = pipe.read().split()
        done = int(acknowledged[-1]) if acknowledged else last
        middle = bool(leftovers(target))
        away = not target.exists()
        found = generation_of(target)
        if found not in (done, done + 1):
            raise BrokenSaveError(f"kill {kill}: {done} was saved, {found} is there")
        save(model, found + 1, target)
        if leftovers(target):
            raise BrokenSaveError(f"kill {kill}: a later save leaves {leftovers(target)}")
        last = found + 1
        seen["kills"] += 1
        seen["in the middle of a save"] += middle
        seen["while the old one lay aside"] += away
        seen["the new one was there already"] += found == done + 1
        seen["saves acknowledged"] += len(acknowledged)
    return seen


def limit_files(target: Path, sizes: int) -> Counter[str]:
    """Saves below limits on the size of a file."""
    model, seen = compose(), Counter[str]()
    save(model, 0, target)  # in one file
    most = max(path.stat().st_size for path in target.iterdir())

    def save_below(limit: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    for step in range(sizes):
        save(model, step, target)
        limit = int(most * 1.05 * step / max(sizes - 1, 1))
        _try_to_save(model, step, target, lambda limit=limit: save_below(limit), seen)
    return seen


def fill_disk(target: Path, sizes: int) -> Counter[str]:
    """Saves on a file system in memory that is about to be full."""
    model, seen = compose(), Counter[str]()
    if not sys.platform.startswith("linux"):
        return Counter({"no file system in memory is known here": 1})
    ctypes.CDLL(None).unshare(NEW_NAMESPACE)  # or the mount would be everybody's
    ctypes.CDLL(None).mount(b"none", b"/", None, PRIVATE, None)
    mounted = target.parent
    mounted.mkdir()
    command = ("mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(mounted))
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return Counter({"no file system in memory may be mounted here": 1})
    try:
        _save_on_ever_more(model, target, sizes, seen)
    finally:
        subprocess.run(("umount", str(mounted)), check=True)
    return seen


def _save_on_ever_more(model: fk.FusedModel, target: Path, sizes: int, seen: Counter[str]) -> None:
    mounted = str(target.parent)

    def trust_the_disk() -> None:
        shutil.disk_usage = lambda _: SimpleNamespace(free=10**12)

    for step in range(sizes):
        save(model, step, target)
        used = shutil.disk_usage(mounted).used
        size = int(used * (1 + 1.2 * step / max(sizes - 1, 1)))
        subprocess.run(("mount", "-o", f"remount,size={size}", mounted), check=True)
        # Each other save is told that there is room, as if another process took it meanwhile.
        _try_to_save(model, step, target, trust_the_disk if step % 2 else int, seen)
        subprocess.run(("mount", "-o", "remount,size=100m", mounted), check=True)


def _try_to_save(
    model: fk.FusedModel,
    step: int,
    target: Path,
    before: Callable[[], object],
    seen: Counter[str],
) -> None:
    """Saves in a child after what ``before`` does to it; then starts again from the old model."""
    child = os.fork()
    if not child:
        code = 2
        try:
            before()
            save(model, step + 1, target)
            code = 0
        except fk.CheckpointError:
            code = 1
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = generation_of(target)
    if code not in (0, 1) or found != (step + 1 if code == 0 else step) or leftovers(target):
        raise BrokenSaveError(
            f"size {step}: ended with {code}, {found} is there, {leftovers(target)}"
        )
    seen["refused, the old one is there" if code else "saved, the new one is there"] += 1


def main() -> int:
    """Runs all of it and prints what happened."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--sizes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="fusionkit-saves-") as scratch:
        for title, run in (
            ("killed", lambda at: kill_saves(at, given.kills, random.Random(given.seed))),
            ("files limited", lambda at: limit_files(at, given.sizes)),
            ("disk filled", lambda at: fill_disk(at, given.sizes)),
        ):
            place = Path(scratch, title.split()[0])
            if title != "disk filled":
                place.mkdir()
            seen = run(place / "model")
            print(f"{title}: " + ", ".join(f"{n} {what}" for what, n in seen.items()), flush=True)
    return 0


CATALOG = catalog()

if __name__ == "__main__":
    sys.exit(main())
