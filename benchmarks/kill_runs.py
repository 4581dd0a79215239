"""Kills training runs at random moments; what they end with must be what an unbroken run ends with.

Run ``python benchmarks/kill_runs.py --kills 30``. A child process trains, saves after each step
of the optimizer, and is killed, again and again, each time going on from what it has saved. When
a run has come to its end, every bit of it is compared with one that nobody killed: parameters,
buffers, the optimizer's state by name, schedule, thaws, moving averages, random numbers, and the
loss of each batch. Every other run is not seeded in each step, but lives by the states of the
generators alone. A line says of each kill where the run was.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch
from killed.train import train

from fusionkit.training import RunStates, read_state

KILLS_PER_RUN = 5


class BrokenRunError(Exception):
    """A run that was killed did not go on to what it would have been."""


def run_child(folder: Path, end: Path, seeds: bool, patience: float | None) -> bool:
    """Trains in a child, and kills it after ``patience`` seconds; tells whether it was killed."""
    child = os.fork()
    if not child:
        code = 1
        try:
            train(folder, end, seeds=seeds)
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + (patience or 600)
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if os.waitstatus_to_exitcode(status):
                raise BrokenRunError(f"a run in {folder} failed")
            return False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def kill_run(scratch: Path, kills: int, length: float, seeds: bool, chance: random.Random) -> int:
    """Kills one run until it ends, at most so many times; gives how many times it was."""
    folder, end, killed = scratch / "run", scratch / "end", 0
    while killed < kills:
        patience = chance.uniform(0, length / 3)
        if not run_child(folder, end, seeds, patience):
            break
        killed += 1
        _print_kill(folder, patience, seeds)
    if not end.exists():
        run_child(folder, end, seeds, None)
    leftovers = [path.name for path in folder.glob(".step-*")]
    if leftovers:
        raise BrokenRunError(f"{folder} holds {leftovers}")
    return killed


def _print_kill(folder: Path, patience: float, seeds: bool) -> None:
    found = RunStates(folder).newest()
    torn = any(folder.glob(".step-*"))
    at = "its beginning"
    if found:
        at = "epoch {epoch}, batch {batch}, step {step}".format_map(found[1]["position"])
    print(
        f"killed after {patience:.3f} s ({'seeded' if seeds else 'not seeded'}"
        f"{', in the midst of a save' if torn else ''}): goes on at {at}",
        flush=True,
    )


def compare(one: object, other: object, path: str = "") -> None:
    """Refuses states that differ in any bit.

    Raises:
        BrokenRunError: says where.
    """
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            compare(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, (list, tuple)) and len(one) == len(other):
        for place, each in enumerate(one):
            compare(each, other[place], f"{path}/{place}")
    elif isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if one.dtype != other.dtype or not torch.equal(one, other):
            raise BrokenRunError(f"{path} differs")
    elif one != other or type(one) is not type(other):
        raise BrokenRunError(f"{path} differs: {one!r:.80} and {other!r:.80}")


def main() -> int:
    """Runs all of it, and prints what happened."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    chance, killed, runs = random.Random(given.seed), 0, 0
    with tempfile.TemporaryDirectory(prefix="fusionkit-runs-") as scratch:
        unbroken, length = {}, 0.0
        for seeds in (True, False):  # here, so that the children have nothing left to import
            begin = time.monotonic()
            train(Path(scratch, f"{seeds}/run"), Path(scratch, f"{seeds}/end"), seeds=seeds)
            length = time.monotonic() - begin
            unbroken[seeds] = read_state(Path(scratch, f"{seeds}/end"))
        while killed < given.kills:
            seeds, place = runs % 2 == 0, Path(scratch, f"killed-{runs}")
            most = min(KILLS_PER_RUN, given.kills - killed)
            killed += kill_run(place, most, length, seeds, chance)
            compare(unbroken[seeds], read_state(place / "end"))
            runs += 1
    print(f"{killed} kills: {runs} runs came to their end, all with the same bits as unbroken ones")
    return 0


if __name__ == "__main__":
    sys.exit(main())
