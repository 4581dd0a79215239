"""Kills `fusionkit fit` at random moments, lets it go on with `--resume`, and compares every bit.

    python benchmarks/kill_fits.py --kills 30

Two small networks of random weights learn to tell dark pictures from bright ones: one thaws stage
by stage, one when the loss stalls; with augmentation, a moving average, gradients over two batches,
and a state after each step. Each run is killed again and again until one process gets to its end.
Its best model, its last state (weights, optimizer, schedule, averages, thaws) and what it measured
must then be those of a run that nobody killed. Prints a line for each run and a verdict.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = """
branches:
  shape:
    backbone: timm/test_vit
    weights: null
    preprocessing: {size: [32, 32]}
    options: {img_size: 32}
    freeze: {gradual: {start: 1, every: 1, stages: 3}}
    lr: {scale: 0.2, layer_decay: 0.9, warmup: 1}
  texture:
    backbone: timm/test_resnet
    weights: null
    preprocessing: {size: [32, 32], resize: 36}
    freeze: {on_plateau: {metric: val_loss, patience: 1, stages: 2}}
head: {name: concat, options: {dropout: 0.2}}
preprocess: inside
data:
  augment: true
training: {epochs: 4, batch_size: 4, accumulate: 2, lr: 3.0e-3, ema: 0.9, save_every: 1}
"""
MEASURED = ("epoch", "step", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr")


def main() -> None:
    """Kills until there were enough kills, and ends with 1 where a run came to another end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    dice = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        put_pictures(folder / "pictures")
        (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
        start = time.perf_counter()
        run(folder, "whole", None)
        took = time.perf_counter() - start
        whole = digest(folder / "whole")
        print(f"unbroken: {took:.1f} s, best model and last state {whole[:12]}")
        kills = wrong = runs = 0
        while kills < given.kills:
            name = f"killed-{runs}"
            runs += 1
            mine, begun = 0, time.perf_counter()
            while not run(folder, name, dice.uniform(0.4, 1.0) * took):
                mine += 1
            if not mine:  # the machine is faster now than it was: kill sooner
                took = time.perf_counter() - begun
            kills += mine
            same = digest(folder / name) == whole
            wrong += not same
            print(f"killed {mine} times: {'the same bits' if same else 'OTHER BITS'}", flush=True)
    print(f"{kills} kills in {runs} runs, {wrong} of which ended with other bits")
    sys.exit(bool(wrong))


def run(folder: Path, name: str, seconds: float | None) -> bool:
    """Starts or goes on with a run, kills it after some seconds; tells whether it ended before."""
    command = [sys.executable, "-m", "fusionkit", "fit", "recipe.yaml", "--data", "pictures"]
    process = subprocess.Popen(
        [*command, "--out", name, "--resume"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return False
    if process.returncode:
        sys.exit(f"a run failed:\n{errors}")
    return True


def digest(run: Path) -> str:
    """Gives a checksum over all that a run leaves, but for clocks."""
    found = hashlib.sha256((run / "best" / "model.safetensors").read_bytes())
    last = max((run / "states").glob("step-*"))
    found.update((last / "tensors.safetensors").read_bytes())
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.update(repr([row[name] for name in MEASURED]).encode())
    return found.hexdigest()


def put_pictures(folder: Path) -> None:
    """Writes noise around two brightnesses, as PNG."""
    import numpy as np
    from PIL import Image

    dice = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 6)):
        for label, brightness in (("bright", 150), ("dark", 100)):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = dice.normal(brightness, 50, (40, 40, 3)).clip(0, 255).astype("uint8")
                Image.fromarray(pixels).save(folder / split / label / f"{number}.png")


if __name__ == "__main__":
    main()
