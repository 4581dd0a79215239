"""Ten epochs of feature extraction with the cache, against ten without."""

from __future__ import annotations

import statistics
from itertools import count

import torch

import fusionkit as fk
from fusionkit.cache import FeatureCache, FeatureLoader
from fusionkit.data import EpochSampler, PreparedDataset, open_samples
from training_costs.clock import alternate, cpu_seconds, middle, run_epoch
from training_costs.extraction import make_step
from training_costs.photographs import CLASSES, gather
from training_costs.report import Line
from training_costs.setting import Setting

__all__ = ["compare"]

EPOCHS = 10


def compare(setting: Setting) -> tuple[str, list[Line]]:
    """Gives what ten epochs and a later epoch cost with the cache."""
    folder = setting.folder / "cached"
    said = gather(folder, setting.photographs)
    samples = open_samples(folder, "train")
    model = fk.compose(
        {
            f"b{number}": fk.Branch(
                name, weights=None, freeze=fk.Freeze.all(), preprocessing=setting.prepared
            )
            for number, name in enumerate(setting.pair)
        },
        fk.Head("concat"),
        num_classes=len(CLASSES),
    ).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.param_groups(lr=1e-3), momentum=0.9)
    step = make_step(lambda batch: model(batch.inputs, batch.features), optimizer)

    def epochs(cache: FeatureCache | None, number: int) -> dict[str, float]:
        sampler = EpochSampler(len(samples), setting.batch, seed=0)
        dataset = PreparedDataset(samples, model)
        loader = FeatureLoader(model, dataset, sampler, cache=cache, channels_last=True)
        each = []
        for epoch in range(number):
            start = cpu_seconds()
            model.train().set_epoch(epoch)
            loader.set_epoch(epoch)
            run_epoch(loader, lambda batch: step(batch, batch.labels))
            each.append(cpu_seconds() - start)
        loader.close()
        return {"later": statistics.median(each[1:] or each)}

    fresh = count()
    ways = {
        "without": lambda: epochs(None, 1),
        "with": lambda: epochs(FeatureCache(folder / f"cache{next(fresh)}"), EPOCHS),
    }
    found = alternate(ways, setting.rounds)
    without = middle(found["without"])
    lines = [
        Line(
            f"{EPOCHS} epochs, of {EPOCHS} times one without",
            middle(found["with"]),
            EPOCHS * without,
            bound=0.15,
        ),
        Line("a later epoch", middle(found["with"], "later"), without, bound=0.02),
    ]
    heading = (
        f"The cache: {' and '.join(setting.pair)}, frozen, {said}, from JPEG files to the last "
        f"update; each time an empty cache is filled and written to disk. Against fusionkit's own "
        f"loop without it, which is faster than the tutorial's"
    )
    return heading, lines
