"""One process that reads mutated inputs, case after case, and says what came of each.

``python -m fuzzing.worker SEED FIRST STEP UNTIL SCRATCH KEEP`` runs the cases ``FIRST``,
``FIRST + STEP``, ... below ``UNTIL``. Before each it writes the case's number to
``SCRATCH/running``, so that whoever started it knows which one it did not survive. The signal of
an alarm ends it when a case takes too long, wherever the time goes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import sysconfig
import time
import traceback
from pathlib import Path
from random import Random

import torch

import fusionkit as fk
from fuzzing.cases import CATALOG, Call, kind_of, write_case
from fuzzing.guard import Guard, limit_process, peak, resident
from fuzzing.seeds import Seeds, make_seeds

__all__ = ["Worker"]

MEGABYTE = 1 << 20
SECONDS = 20
MEMORY = 2048 * MEGABYTE
BOUNDS = {"saved": 192 * MEGABYTE, "weights": 64 * MEGABYTE}
"""How much a call may take besides some times the size of its input, which builds a model."""
OTHER_BOUND = 48 * MEGABYTE
TIMES = 40


class Worker:
    """Runs cases below a scratch folder."""

    def __init__(self, seed: int, scratch: Path, keep: Path) -> None:
        self.seed, self.keep = seed, keep
        self.place = scratch / "case"
        self.folder = self.place / "input"
        self.seeds: Seeds = make_seeds(scratch / "seeds")
        roots = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()}
        own = Path(fk.__file__).parents[1]
        self.guard = Guard((own, *map(Path, sorted(roots))))
        self.place.mkdir(parents=True, exist_ok=True)
        (self.place / "outside.safetensors").write_bytes(self.seeds.files[0])

    def run(self, number: int) -> str:
        """Gives the name of what came of a case; one that begins with ``!`` must not be."""
        call = self.write(number)
        size = sum(path.lstat().st_size for path in self.folder.rglob("*"))
        before = resident()
        said = ""
        signal.alarm(SECONDS)
        with self.guard.watch(self.folder) as seen:
            try:
                call()
                outcome = "read"
            except fk.FusionKitError as error:
                outcome, said = type(error).__name__, str(error)
            except BaseException as error:
                outcome, said = f"!{type(error).__name__}", traceback.format_exc()
        signal.alarm(0)
        grown = peak() - before
        if len(said) > 20_000 + 10 * size and not outcome.startswith("!"):
            outcome = "!long message"
        if grown > BOUNDS.get(kind_of(number), OTHER_BOUND) + TIMES * size:
            outcome, said = "!memory", f"{grown / MEGABYTE:.0f} MB for {size} bytes; {said}"
        if seen:
            outcome, said = "!touched", "\n".join(seen) + f"\n{said}"
        if outcome.startswith("!"):
            self._keep(number, outcome, said)
        return outcome

    def write(self, number: int) -> Call:
        """Writes the input of a case and gives the call that reads it."""
        chance = Random(f"{self.seed}/{number}")
        return write_case(kind_of(number), self.folder, chance, self.seeds)

    def _keep(self, number: int, outcome: str, said: str) -> None:
        kept = self.keep / f"{self.seed}-{number}-{kind_of(number)}"
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        (kept / "finding.txt").write_text(f"{outcome}\n{said}", errors="backslashreplace")
        for path in self.folder.iterdir():
            if path.is_file() and not path.is_symlink():
                shutil.copy(path, kept)


def warm_up(worker: Worker) -> None:
    """Imports and caches what the first calls would."""
    for folder in worker.seeds.saved:
        fk.load(folder, catalog=CATALOG)
    path = worker.folder / "recipe.yaml"
    worker.folder.mkdir(parents=True, exist_ok=True)
    for text in (*worker.seeds.recipes, "branches: [", "{}", "branches: {a: b/c, d: 1}"):
        path.write_text(text)
        with contextlib.suppress(fk.FusionKitError):
            fk.compose(fk.read_recipe(path), catalog=CATALOG)


def main() -> None:
    """Runs cases and prints a line of JSON with the counts of what came of them."""
    seed, first, step, until = map(int, sys.argv[1:5])
    scratch, keep = Path(sys.argv[5]), Path(sys.argv[6])
    torch.set_num_threads(1)
    worker = Worker(seed, scratch, keep)
    running = os.open(scratch / "running", os.O_WRONLY | os.O_CREAT)
    limit_process(MEMORY)
    warm_up(worker)
    for number in range(first, until, step):
        os.pwrite(running, f"{number:<20}".encode(), 0)
        start = time.perf_counter()
        outcome = worker.run(number)
        taken = time.perf_counter() - start
        print(json.dumps([number, kind_of(number), outcome, taken]), flush=True)


if __name__ == "__main__":
    main()
