"""What training costs, against loops of plain PyTorch over the same networks and files.

Run ``OMP_NUM_THREADS=1 python benchmarks/training.py``. In each comparison the ways alternate
within one process, every second round in the other order; figures are medians over the rounds of
CPU time, user and system, of all threads. Nothing is downloaded: weights are random, which takes
as long. Photographs are those of ``$FUSIONKIT_SHARED/data`` (by default ``../shared/data``), or
made where these are not.

Before the clock starts, models, loaders and optimizers are built and each way runs once; where a
comparison is of something else, its heading says so. Exits with 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import timm
import torch
from training_costs import cached, decoding, extraction, fit_overhead, last_stage
from training_costs.report import Line, format_lines, missed
from training_costs.setting import PREPARED, Setting

COMPARISONS = {
    "extraction": extraction.compare,
    "cache": cached.compare,
    "last-stage": last_stage.compare,
    "decoding": decoding.compare,
    "fit": fit_overhead.compare,
}


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backbone", default="resnet50", help="of timm, for what has gradients")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--only", nargs="+", choices=COMPARISONS, default=list(COMPARISONS))
    parser.add_argument(
        "--quick", action="store_true", help="tiny networks, one round: whether it runs, no more"
    )
    return parser.parse_args()


def make_setting(arguments: argparse.Namespace, folder: Path) -> Setting:
    """Gives how large the comparisons are."""
    if not arguments.quick:
        return Setting(folder, arguments.batch, arguments.rounds, arguments.backbone)
    return Setting(
        folder,
        batch=2,
        rounds=1,
        large="test_resnet",
        pair=("timm/test_resnet", "timm/test_resnet"),
        prepared=replace(PREPARED, size=(64, 64), resize=72),
        steps=2,
        photographs=16,
    )


def main() -> int:
    """Prints the tables and tells whether the bounds are met."""
    arguments = parse_arguments()
    warnings.filterwarnings("ignore", category=UserWarning, module="timm")
    threads = torch.get_num_threads()
    print(
        f"torch {torch.__version__}, timm {timm.__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {threads} thread(s)"
        f"\nmedians of {1 if arguments.quick else arguments.rounds} rounds; CPU seconds unless it "
        "says otherwise"
    )
    start, clock = time.perf_counter(), time.process_time()
    lines: list[Line] = []
    with TemporaryDirectory() as name:
        os.environ["FUSIONKIT_CACHE"] = str(Path(name) / "features")
        setting = make_setting(arguments, Path(name))
        for title in arguments.only:
            heading, found = COMPARISONS[title](setting)
            print(f"\n{format_lines(heading, found, not arguments.quick)}", flush=True)
            lines += found
    spent, passed = time.process_time() - clock, time.perf_counter() - start
    print(f"\n{spent:.0f} s of CPU time in {passed:.0f} s")
    if arguments.quick:
        print("quick: bounds are not judged")
        return 0
    late = missed(lines)
    bounds = sum(line.bound is not None for line in lines)
    print(f"{bounds - len(late)} of {bounds} bounds are met")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
