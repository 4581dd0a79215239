"""A small model with a branch that thaws by epoch and one that thaws on a plateau, and its data."""

from __future__ import annotations

import torch
from torch.utils.data import Dataset
from toys import perturb, toy_catalog

import fusionkit as fk

EPOCHS = 6
STEPS = 3
BATCH = 4
LOSSES = (1.0, 0.5, 0.6, 0.7, 0.4, 0.5)
"""What the validation says after each epoch: the plateau thaws with epoch 4."""


def build(**changes) -> fk.FusedModel:
    torch.manual_seed(0)
    settings = {
        "a": fk.Branch(
            "toy/tiny", weights=None, freeze=fk.Freeze.gradual(every=2), lr=fk.LR(0.5, warmup=2)
        ),
        "b": fk.Branch(
            "toy/tiny",
            weights=None,
            freeze=fk.Freeze.on_plateau(patience=2, stages=2),
            lr=fk.LR(0.2, layer_decay=0.9),
        ),
        **changes,
    }
    model = fk.compose(settings, head="toy/sum", num_classes=3, catalog=toy_catalog())
    perturb(model)
    return model


class Noise(Dataset):
    """Samples in a fixed order, as mappings."""

    def __init__(self, length: int = STEPS * BATCH) -> None:
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(length, 3, 8, 8, generator=generator)
        self.y = torch.randint(3, (length,), generator=generator)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"image": self.x[index], "labels": self.y[index]}


def optimizers(model: fk.FusedModel):
    """AdamW and a cosine with the warm-up by steps."""
    optimizer = torch.optim.AdamW(model.param_groups(lr=1e-2, weight_decay=0.1), foreach=False)
    schedule = model.lr_scheduler(
        optimizer, "cosine", total_steps=EPOCHS * STEPS, steps_per_epoch=STEPS
    )
    return optimizer, schedule
