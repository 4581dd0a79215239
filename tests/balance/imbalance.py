"""A task on which one branch learns at once and leaves the other behind."""

from __future__ import annotations

import torch
from torch import Tensor
from toys import ToyPlugin

import fusionkit as fk

NAMES = ("loud", "quiet")
CATALOG = fk.Catalog.installed().with_plugin("toys", ToyPlugin())


def build(
    head: fk.Head | str = "mean_logits",
    names: tuple[str, ...] = NAMES,
    seed: int = 0,
    num_classes: int = 2,
    **branch: object,
) -> fk.FusedModel:
    torch.manual_seed(seed)
    branches = {
        name: fk.Branch("toys/vector", weights=None, input=name, in_channels=6, **branch)
        for name in names
    }
    return fk.compose(branches, head, num_classes, catalog=CATALOG)


def draw_noise(
    names: tuple[str, ...] = NAMES, batch: int = 5, num_classes: int = 2, seed: int = 0
) -> tuple[dict[str, Tensor], Tensor]:
    """Gives inputs without any meaning, and labels."""
    generator = torch.Generator().manual_seed(seed)
    x = {name: torch.randn(batch, 6, generator=generator) for name in names}
    return x, torch.randint(num_classes, (batch,), generator=generator)


def draw_imbalanced(count: int, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """Gives a loud input that shows nine labels of ten plainly, and a quiet one of all, by parity.

    The class is the sign of the product of the quiet input's first two numbers, which no linear
    model sees.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (count,), generator=generator)
    signs = 2.0 * labels - 1
    loud = torch.randn(count, 6, generator=generator)
    shown = torch.rand(count, generator=generator) < 0.9
    loud[:, 0] = 0.5 * loud[:, 0] + 3 * signs * shown
    quiet = torch.randn(count, 6, generator=generator)
    quiet[:, 0] *= torch.sign(quiet[:, 0] * quiet[:, 1]) * signs
    return {"loud": loud, "quiet": quiet}, labels


def batches(
    data: tuple[dict[str, Tensor], Tensor], epoch: int = 0, size: int = 64
) -> list[tuple[dict[str, Tensor], Tensor]]:
    """Gives a data set in batches, in an order of its own for each epoch."""
    x, labels = data
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(epoch))
    return [({n: v[rows] for n, v in x.items()}, labels[rows]) for rows in order.split(size)]


def accuracies(model: fk.FusedModel) -> dict[str, float]:
    """Gives the accuracy of the fused answer and of each branch on strangers."""
    x, labels = draw_imbalanced(2000, seed=7)
    with torch.no_grad():
        scores = fk.balance.score(model.eval(), x)
    told = {"fused": scores.fused, **scores.branches}
    return {name: (t.argmax(1) == labels).double().mean().item() for name, t in told.items()}
