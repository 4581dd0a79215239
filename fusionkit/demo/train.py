"""A plain training loop, and what a trained model is worth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

import fusionkit as fk
from fusionkit.demo.digits import Digits

__all__ = ["Score", "fit", "score"]

BATCH = 32
LEARNING_RATE = 2e-2
WEIGHT_DECAY = 0.05


@dataclass(frozen=True, slots=True)
class Score:
    """How well a model does on one set of images.

    Attributes:
        accuracy: the share that it gets right.
        loss: the mean cross entropy; tells equal accuracies apart.
    """

    accuracy: float
    loss: float


def fit(
    model: fk.FusedModel,
    data: Digits,
    *,
    epochs: int,
    seed: int,
    after_epoch: Callable[[], object] = lambda: None,
) -> None:
    """Trains what the model's policies let learn, by AdamW under a cosine.

    Args:
        model: in place.
        data: the labelled images.
        epochs: passes over them.
        seed: of the order of images.
        after_epoch: called after each pass.
    """
    order = torch.Generator().manual_seed(seed)
    steps = math.ceil(len(data) / BATCH)
    optimizer = torch.optim.AdamW(model.param_groups(lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY))
    schedule = model.lr_scheduler(
        optimizer, "cosine", total_steps=epochs * steps, steps_per_epoch=steps
    )
    for epoch in range(epochs):
        model.train().set_epoch(epoch)
        for rows in torch.randperm(len(data), generator=order).chunk(steps):
            batch = data[rows]
            loss = cross_entropy(model(batch.images), batch.labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        after_epoch()
    model.eval()


@torch.no_grad()
def score(model: fk.FusedModel, data: Digits) -> Score:
    """Gives accuracy and loss of a model in eval mode."""
    answers = model.eval()(data.images)
    right = answers.argmax(1) == data.labels
    return Score(right.float().mean().item(), cross_entropy(answers, data.labels).item())
