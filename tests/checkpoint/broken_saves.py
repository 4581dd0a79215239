"""Processes that are killed in the middle of saving; run by the tests of the folder.

``python broken_saves.py at-each-call FOLDER [no-swap]`` saves ``0``, then forks a child for each
call of the system that a save makes, which saves ``1`` and is killed at that call. It prints for
each: the call, whether the folder was there right after the kill, what a reader finds, what he
finds after a further save of ``2``, and how many leftovers there are then.

``python broken_saves.py at-random FOLDER [no-swap]`` kills children that save ``1``, ``2``, ... at
random moments. It prints for each: the last save that was done, and what a reader finds.

``python broken_saves.py forever FOLDER START STEP`` saves ``START``, ``START + STEP``, ...; ten.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

from fusionkit.checkpoint import folder as folder_module
from fusionkit.checkpoint.folder import replace_folder
from fusionkit.checkpoint.leftovers import recover
from fusionkit.saved.manifest import read_manifest
from fusionkit.saved.texts import read_text, write_text

CALLS = {
    "mkdir", "rename", "open", "fsync", "write", "unlink", "rmdir", "flock", "dlopen", "exists",
    "get_errno", "encode",
}  # fmt: skip


def save(target: Path, value: int) -> None:
    def fill(fresh: Path) -> dict[str, str]:
        names = ("config.json", "model.safetensors")
        return {name: write_text(fresh / name, f"{value} " * 1000) for name in names}

    replace_folder(target, fill)


def value_of(target: Path) -> str:
    """Gives the value that was saved, after checking that both files hold it."""
    recover(target)
    checksums = read_manifest(target)
    texts = {read_text(target / name, checksum) for name, checksum in checksums.items()}
    assert len(checksums) == 2
    assert len(texts) == 1
    return texts.pop().split()[0]


def killed_at(target: Path, wanted: int) -> str | None:
    """Saves ``1`` in a child that is killed at one call, and gives that call's name."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        seen = 0

        def count(frame: FrameType, event: str, function: Any) -> None:
            nonlocal seen
            if event == "c_call" and function.__name__ in CALLS:
                seen += 1
                if seen == wanted:
                    sys.setprofile(None)
                    os.write(writer, function.__name__.encode())
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        save(target, 1)
        sys.setprofile(None)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        call = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) == bool(call), status
    return call or None


def kill_at_each_call(target: Path) -> None:
    wanted = 0
    while True:
        wanted += 1
        shutil.rmtree(target.parent, ignore_errors=True)
        save(target, 0)
        call = killed_at(target, wanted)
        if call is None:
            break
        there = "there" if target.exists() else "away"
        found = value_of(target)
        save(target, 2)
        left = [path.name for path in target.parent.iterdir() if path != target]
        print(call, there, found, value_of(target), len(left))


def kill_at_random(target: Path, kills: int = 20) -> None:
    chance = random.Random(0)
    save(target, 0)
    last = 0
    for _ in range(kills):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            while True:
                last += 1
                save(target, last)
                os.write(writer, f"{last} ".encode())
        os.close(writer)
        time.sleep(chance.uniform(0.01, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reader, "rb") as pipe:
            done = pipe.read().split()
        last = int(done[-1]) if done else last
        found = value_of(target)
        print(last, found)
        last = int(found)
    save(target, last)
    print(*(path.name for path in target.parent.iterdir()))


def main() -> None:
    warnings.simplefilter("ignore")
    how, target = sys.argv[1], Path(sys.argv[2])
    if "no-swap" in sys.argv:
        folder_module.swap = lambda *_: False
    if how == "at-each-call":
        kill_at_each_call(target)
    elif how == "at-random":
        kill_at_random(target)
    else:
        start, step = int(sys.argv[3]), int(sys.argv[4])
        for value in range(start, start + 10 * step, step):
            save(target, value)


if __name__ == "__main__":
    main()
