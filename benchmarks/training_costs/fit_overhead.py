"""What ``fusionkit fit`` adds to a step of a plain loop with the same parts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

import fusionkit as fk
from fusionkit.cache import FeatureLoader
from fusionkit.data import EpochSampler, PreparedDataset, open_samples
from fusionkit.recipe.values import Recipe
from fusionkit.runs.fit import fit
from fusionkit.runs.settings import DataSettings, Job, TrainingSettings
from fusionkit.training.optimizers import build_optimizer
from training_costs.clock import alternate, middle
from training_costs.photographs import CLASSES, gather
from training_costs.report import Line
from training_costs.setting import Setting

__all__ = ["compare"]

FEW, EPOCHS, BATCH = 8, 2, 2
TINY = fk.Preprocessing(size=(32, 32))


def compare(setting: Setting) -> tuple[str, list[Line]]:
    """Gives milliseconds of a step of each, from runs that differ in their number of steps."""
    many = setting.photographs
    jobs = {size: _job(setting.folder / f"fit{size}", size) for size in (FEW, many)}
    fresh = count()
    ways: dict[str, Callable[[], None]] = {}
    for size, job in jobs.items():
        ways[f"fit {size}"] = partial(_fit, job, setting.folder, fresh)
        ways[f"plain {size}"] = partial(_plain, job)
    for way in ways.values():
        way()  # fills the cache
    found = {way: middle(costs) for way, costs in alternate(ways, setting.rounds).items()}
    steps = EPOCHS * (-(-many // BATCH) - -(-FEW // BATCH))
    of = {
        way: 1000 * (found[f"{way} {many}"] - found[f"{way} {FEW}"]) / steps
        for way in ("fit", "plain")
    }
    heading = (
        f"fusionkit fit against a plain loop: a step of a head on cached features, batches of "
        f"{BATCH}, from runs of {FEW} and {many} samples, {EPOCHS} epochs; fit measures, logs and "
        "seeds each step too"
    )
    return heading, [Line("a step of fit, of the plain loop's", of["fit"], of["plain"], "ms")]


def _job(folder: Path, size: int) -> Job:
    gather(folder, size)
    shutil.copytree(folder / "train", folder / "val")
    for title in (folder / "val").iterdir():
        for path in sorted(title.iterdir())[FEW // 2 :]:
            path.unlink()
    branch = fk.Branch("timm/test_resnet", weights=None, freeze=fk.Freeze.all(), preprocessing=TINY)
    return Job(
        Recipe({"a": branch}, fk.Head("concat"), num_classes=len(CLASSES)),
        DataSettings(source=str(folder)),
        TrainingSettings(epochs=EPOCHS, batch_size=BATCH, cache=True, accelerator="cpu"),
    )


def _fit(job: Job, folder: Path, fresh: count[int]) -> None:
    fit(job, folder / f"run{next(fresh)}")


def _plain(job: Job) -> None:
    """Trains and validates as ``fit`` does, without saving or logging."""
    settings = job.training
    torch.manual_seed(settings.seed)
    model = fk.compose(job.recipe).to(memory_format=torch.channels_last)
    loaders = {}
    for split in ("train", "val"):
        samples = open_samples(job.data.source, split)
        sampler = EpochSampler(len(samples), settings.batch_size, shuffle=split == "train")
        loaders[split] = FeatureLoader(
            model, PreparedDataset(samples, model), sampler, cache=True, channels_last=True
        )
    optimizer = build_optimizer(model, settings.optimizer.name, lr=settings.lr, weight_decay=0.05)
    total = settings.epochs * len(loaders["train"])
    schedule = model.lr_scheduler(optimizer, settings.schedule.name, total_steps=total)
    for epoch in range(settings.epochs):
        model.train().set_epoch(epoch)
        loaders["train"].set_epoch(epoch)
        for batch in loaders["train"]:
            optimizer.zero_grad()
            cross_entropy(model(batch.inputs, batch.features), batch.labels).backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            for batch in loaders["val"]:
                model(batch.inputs, batch.features)
