"""One pass over files for two branches, against a pass for each."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from training_costs.clock import alternate, middle
from training_costs.photographs import gather
from training_costs.report import Line
from training_costs.setting import Setting

import fusionkit as fk
from fusionkit.data import EpochSampler, Normalise, PreparedDataset, build_loader, open_samples

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
