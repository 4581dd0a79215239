"""One pass over files for two branches, against a pass for each."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import fusionkit as fk
from fusionkit.data import (
    EpochSampler,
    Normalise,
    PreparedDataset,
    Samples,
    build_loader,
    open_samples,
)
from training_costs.clock import alternate, middle
from training_costs.photographs import gather
from training_costs.report import Line
from training_costs.setting import Setting

__all__ = ["compare"]


class Photographs(Dataset[Tensor]):
    """Files and a transform, as people write it."""

    def __init__(self, paths: list[Path], prepared: fk.Preprocessing) -> None:
        self.paths, self.transform = paths, prepared.transform()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        image: Tensor = self.transform(Image.open(self.paths[index]).convert("RGB"))
        return image


def compare(setting: Setting) -> tuple[str, list[Line]]:
    """Gives what a pass costs where mean and std differ, and where the resize differs too."""
    folder = setting.folder / "decoding"
    said = gather(folder, setting.photographs)
    samples = open_samples(folder, "train")
    paths = [samples[index].inputs["image"] for index in range(len(samples))]
    one = setting.prepared
    centred = dict.fromkeys(("mean", "std"), (0.5, 0.5, 0.5))
    other = replace(one, **centred, size=(192, 192), resize=219, interpolation="bicubic")
    cases = {
        "mean and std differ": (replace(one, **centred), True, 0.55),
        "size and interpolation too": (other, True, None),
        "size and interpolation too, exact=False": (other, False, 0.55),
    }
    lines = []
    for title, (second, exact, bound) in cases.items():
        wanted = {"one": one, "other": second}
        ways = {
            "once": partial(_once, samples, wanted, setting.batch, exact),
            "twice": partial(_twice, paths, list(wanted.values()), setting.batch),
        }
        for way in ways.values():
            way()
        time = {
            way: middle(costs) for way, costs in alternate(ways, 2 * setting.rounds + 1).items()
        }
        lines.append(Line(title, time["once"], time["twice"], bound=bound))
    heading = (
        f"Two branches' inputs in one pass: from JPEG files to normalised batches, no model, "
        f"{said}; against PIL and torchvision's transforms in a pass for each"
    )
    return heading, lines


def _once(samples: Samples, wanted: dict[str, fk.Preprocessing], batch: int, exact: bool) -> None:
    dataset, normalise = PreparedDataset(samples, wanted, exact=exact), Normalise(wanted)
    for each in build_loader(dataset, EpochSampler(len(samples), batch, shuffle=False)):
        normalise(each.inputs)


def _twice(paths: list[Path], wanted: list[fk.Preprocessing], batch: int) -> None:
    for prepared in wanted:
        for _ in DataLoader(Photographs(paths, prepared), batch):
            pass
