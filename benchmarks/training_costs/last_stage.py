"""Training the last stage only, against training all of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import fusionkit as fk
from training_costs.clock import alternate, middle
from training_costs.extraction import build_ours, build_theirs, loss_of, make_step
from training_costs.memory import MIB, saved_bytes
from training_costs.report import Line
from training_costs.setting import Setting

__all__ = ["compare"]

STEPS = 2


def compare(setting: Setting) -> tuple[str, list[Line]]:
    """Gives what steps cost on images in memory, and the activations that they keep."""
    images = torch.randn(setting.batch, 3, *setting.prepared.size)
    labels = torch.arange(setting.batch) % 2
    laid_out = images.contiguous(memory_format=torch.channels_last)
    last, whole = build_ours(setting, fk.Freeze.last(1)), build_ours(setting, fk.Freeze.none())
    by_hand = build_theirs(setting, frozen=False)
    for model in (last, whole):
        model.train().set_epoch(0)
    ways = {
        "last": _steps(last, laid_out, labels, last.param_groups(lr=1e-3)),
        "whole": _steps(whole, laid_out, labels, whole.param_groups(lr=1e-3)),
        "by hand": _steps(by_hand.train(), images, labels, list(by_hand.parameters())),
    }
    for steps in ways.values():
        steps()
    time = {way: middle(costs) for way, costs in alternate(ways, setting.rounds).items()}
    kept = {
        way: saved_bytes(partial(loss_of, model, inputs, labels), [model]) / MIB
        for way, model, inputs in (
            ("last", last, laid_out),
            ("whole", whole, laid_out),
            ("by hand", by_hand, images),
        )
    }
    lines = []
    for other, title in (("whole", "our own"), ("by hand", "one written by hand")):
        lines += [
            Line(f"time, of {title}", time["last"], time[other], bound=0.50),
            Line(f"activations kept, of {title}", kept["last"], kept[other], "MiB", bound=0.10),
        ]
    heading = (
        f"Last stage only against full fine-tuning: {setting.large}, {STEPS} steps (forward, "
        f"backward, SGD) on a batch of {setting.batch} in memory; ours has channels last in both"
    )
    return heading, lines


def _steps(
    model: nn.Module, images: Tensor, labels: Tensor, groups: list[Any]
) -> Callable[[], None]:
    step = make_step(model, torch.optim.SGD(groups, lr=1e-4, momentum=0.9))

    def steps() -> None:
        for _ in range(STEPS):
            step(images, labels)

    return steps
