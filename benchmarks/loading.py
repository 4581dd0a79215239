"""What it takes to load a model, from nothing to ready for its first forward pass.

Run ``python benchmarks/loading.py`` where nothing else runs. Each figure is from a process of its
own, after the imports, with as many threads as torch takes by itself, or ``--threads``; ways
alternate, each round in another order. By hand: timm builds the model,
``torch.load`` reads the checkpoint, ``load_state_dict`` copies it. With fusionkit: ``compose`` of
one branch with the same checkpoint as safetensors and a head for ten classes, or ``load`` of the
same model saved, which checks every byte against its checksum too; each also with the file mapped
instead of read, every value looked at as before. A tiny model of another kind is composed and
loaded before, which brings about what torch, timm and pydantic import or build only when they are
used. Time is what a clock shows, and beside it the CPU time of all threads; memory is the peak of
resident memory above what the imports take. Ratios are of medians. Exits with 1 where a ratio of
``compose`` is above its target.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import timm
import torch
from safetensors.torch import save_file
from torch import nn

import fusionkit as fk

TARGETS = {"resnet50": (0.35, 0.75), "vit_base_patch16_224": (0.20, 0.60)}
UNITS = ("ms", "CPU ms", "MiB")
CLASSES = 10
TINY = "timm/test_resnet"
KIBI = 1024


def build(name: str, folder: Path) -> None:
    """Writes a model's stock checkpoint in both formats, and a saved model with it as a branch."""
    torch.manual_seed(0)
    state = timm.create_model(name, pretrained=False).state_dict()
    torch.save(state, folder / f"{name}.pth")
    save_file(state, folder / f"{name}.safetensors")
    fk.save(compose(name, folder), folder / name)
    fk.save(compose_tiny(), folder / "tiny")


def compose_tiny() -> nn.Module:
    """Composes a model of another kind, for what is imported only when it is used."""
    return fk.compose({"a": fk.Branch(TINY, weights=None)}, head="concat", num_classes=2)


def by_hand(name: str, folder: Path) -> nn.Module:
    """Builds and loads as people do."""
    model: nn.Module = timm.create_model(name, pretrained=False)
    model.load_state_dict(torch.load(folder / f"{name}.pth", weights_only=True))
    return model.eval()


def compose(name: str, folder: Path, *, mmap: bool = False) -> nn.Module:
    """Composes one branch with its stock checkpoint, read or mapped."""
    weights = fk.Weights(folder / f"{name}.safetensors", mmap=mmap)
    branch = fk.Branch(f"timm/{name}", weights=weights)
    return fk.compose({"trunk": branch}, head="concat", num_classes=CLASSES).eval()


def load(name: str, folder: Path, *, mmap: bool = False) -> nn.Module:
    """Loads the saved model, read or mapped."""
    return fk.load(folder / name, mmap=mmap)


WAYS: dict[str, Callable[[str, Path], nn.Module]] = {
    "by hand": by_hand,
    "compose": compose,
    "compose, mmap": partial(compose, mmap=True),
    "load": load,
    "load, mmap": partial(load, mmap=True),
}


def measure(way: str, name: str, folder: Path) -> dict[str, float]:
    """Gives time and CPU time in ms and peak memory in MiB of one way, in this process."""
    fk.Catalog.installed().backbone(f"timm/{name}")  # the rest of what is imported
    compose_tiny()
    fk.load(folder / "tiny")
    Path("/proc/self/clear_refs").write_text("5")  # makes the present memory the peak
    before = _status("VmRSS")
    start, start_cpu = time.perf_counter(), time.process_time()
    WAYS[way](name, folder)
    spent, spent_cpu = time.perf_counter() - start, time.process_time() - start_cpu
    peak = (_status("VmHWM") - before) / KIBI
    return {"ms": spent * 1e3, "CPU ms": spent_cpu * 1e3, "MiB": peak}


def _status(field: str) -> int:
    """Gives a line of the kernel's account of this process, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def measure_apart(way: str, name: str, folder: Path, threads: int) -> dict[str, float]:
    """Gives the same from a fresh process."""
    command = [sys.executable, __file__, "--one", way, name, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def report(name: str, found: dict[str, list[dict[str, float]]]) -> bool:
    """Prints the rows of one model and tells whether its targets are met."""
    met = True
    for way, runs in found.items():
        cells = []
        seconds, memory = TARGETS[name]
        for unit, target in zip(UNITS, (seconds, None, memory), strict=True):
            values = [run[unit] for run in runs]
            low, middle, high = statistics.quantiles(values, n=4)
            ratio = middle / statistics.median(run[unit] for run in found["by hand"])
            bound = f"{target:.2f}" if target and way.startswith("compose") else ""
            met &= not bound or ratio <= float(bound)
            cells.append(f"{middle:>7.0f} {f'{low:.0f}-{high:.0f}':>11} {ratio:>6.2f} {bound:>6}")
        print(f"{name:<22} {way:<13} {' '.join(cells)}")
    return met


def main() -> int:
    """Prints the table and tells whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--one", nargs=3, metavar=("WAY", "MODEL", "FOLDER"))
    arguments = parser.parse_args()
    if arguments.one:
        way, name, folder = arguments.one
        print(json.dumps(measure(way, name, Path(folder))))
        return 0
    print(
        f"torch {torch.__version__}, timm {timm.__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.release()}, {platform.machine()}; "
        f"threads: {arguments.threads}; medians and quartiles of {arguments.rounds} rounds"
    )
    cells = (f"{u:>7} {'quartiles':>11} {'ratio':>6} {'target':>6}" for u in UNITS)
    print(f"{'model':<22} {'way':<13} {' '.join(cells)}")
    met = True
    for name in TARGETS:
        with TemporaryDirectory() as folder:
            build(name, Path(folder))
            found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
            for turn in range(arguments.rounds):
                for way in list(WAYS) if turn % 2 else reversed(WAYS):
                    found[way].append(measure_apart(way, name, Path(folder), arguments.threads))
        met &= report(name, found)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
