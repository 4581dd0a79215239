"""Reads mutated checkpoints and recipes, and shows that nothing comes of it but an error of ours.

Run ``python benchmarks/fuzz_checkpoints.py --count 100000 --seed 0 --jobs 2``. Small valid files
are changed at random: headers and data of safetensors files, indices of shards, the config and
manifest of a saved folder (with its checksums made to agree), recipes in YAML and JSON. They are
read in processes that may write, start and reach nothing. What is not read must be refused with an
error of fusionkit's own, within seconds, in memory that the size of the input bounds. Anything else
is printed, kept in ``--keep`` with its input, and makes the exit status 1.

A case is the same whenever its seed and its number are: ``--only NUMBER`` runs one again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fuzzing.cases import kind_of

HERE = Path(__file__).parent


@dataclass
class Tally:
    """What came of the cases.

    Attributes:
        outcomes: how many by kind and name.
        longest: seconds of the slowest case by kind.
        findings: what must not be, by case.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    longest: dict[str, float] = field(default_factory=dict)
    findings: dict[int, str] = field(default_factory=dict)

    def count(self, number: int, outcome: str, seconds: float = 0.0) -> None:
        """Counts one case."""
        kind = kind_of(number)
        self.outcomes[kind, outcome] += 1
        self.longest[kind] = max(self.longest.get(kind, 0.0), seconds)
        if outcome.startswith("!"):
            self.findings[number] = outcome
            print(f"case {number} ({kind}): {outcome[1:]}", flush=True)


def run_all(seed: int, numbers: range, scratch: Path, keep: Path, tally: Tally) -> None:
    """Runs cases in one process, and in the next one from where one was killed."""
    while numbers:
        first = numbers[0]
        words = (seed, first, numbers.step, numbers.stop, scratch, keep)
        process = subprocess.Popen(
            [sys.executable, "-m", "fuzzing.worker", *map(str, words)],
            cwd=HERE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for line in process.stdout or ():
            number, _, outcome, seconds = json.loads(line)
            tally.count(number, outcome, seconds)
        if not process.wait():
            return
        died = int((scratch / "running").read_text() or first)
        cause = -process.returncode
        name = signal.Signals(cause).name if cause > 0 else f"exit {process.returncode}"
        tally.count(died, "!hangs" if name == "SIGALRM" else f"!ended the process: {name}")
        numbers = range(died + numbers.step, numbers.stop, numbers.step)


def print_table(tally: Tally, seconds: float) -> None:
    """Prints a line for each kind."""
    kinds = sorted({kind for kind, _ in tally.outcomes})
    for kind in kinds:
        counts = {name: n for (of, name), n in sorted(tally.outcomes.items()) if of == kind}
        told = ", ".join(f"{name} {n:,}" for name, n in counts.items())
        print(f"{kind:<8} {sum(counts.values()):>9,}  slowest {tally.longest[kind]:.2f} s  {told}")
    total = sum(tally.outcomes.values())
    print(
        f"{total:,} cases in {seconds:.0f} s ({total / seconds:.0f}/s), "
        f"{len(tally.findings)} findings"
    )


def main() -> int:
    """Runs the cases and tells whether there were findings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of the one case to run")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    given = parser.parse_args()
    start, stop = (0, given.count) if given.only is None else (given.only, given.only + 1)
    jobs = 1 if given.only is not None else given.jobs
    os.nice(10)
    tally, began = Tally(), time.monotonic()
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a disk is half of the time
    with tempfile.TemporaryDirectory(prefix="fusionkit-fuzz-", dir=memory) as scratch:
        places = [Path(scratch, str(job)) for job in range(jobs)]
        with ThreadPoolExecutor(jobs) as pool:
            runs = [
                pool.submit(
                    run_all,
                    given.seed,
                    range(start + job, stop, jobs),
                    place,
                    given.keep.absolute(),
                    tally,
                )
                for job, place in enumerate(places)
            ]
            for each in runs:
                each.result()
    print_table(tally, time.monotonic() - began)
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
