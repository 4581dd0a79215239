"""What a head costs as branches and widths grow, found without any data."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from fusionkit import AssemblyError, Features, FusionHead, HeadInput, Level, Reads

__all__ = ["BRANCHES", "CLASSES", "IMAGE", "WIDTHS", "Cost", "offer", "tabulate_cost"]

BRANCHES = (2, 3, 4, 8)
WIDTHS = (256, 512, 1024, 2048)
CLASSES = 100
IMAGE = 224
STRIDES = (4, 8, 16, 32)

FIGURE = re.compile(r"(\d[\d,]*)\s+parameters")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one head with its default options, or why there is none.

    Attributes:
        parameters: all of its own; of a refused one the figure in its refusal, if it has one.
        flops: of one sample at inference, an addition and a multiplication being two; ``None``
            where it cannot be built, or they were not to be counted.
        refusal: why it cannot be built.
    """

    parameters: int | None
    flops: int | None = None
    refusal: str | None = None


def offer(branches: int, width: int) -> dict[str, HeadInput]:
    """Gives branches of one width, with maps as a ResNet has them."""
    levels = tuple(Level(width * stride // STRIDES[-1], stride) for stride in STRIDES)
    return {f"branch{number}": HeadInput(width, levels) for number in range(branches)}


def tabulate_cost(
    make: Callable[..., FusionHead], counted: Collection[tuple[int, int]] | None = None
) -> Mapping[tuple[int, int], Cost]:
    """Gives what the head costs by width and number of branches.

    Args:
        make: builds the head.
        counted: where FLOPs are counted, which takes time; everywhere by default.
    """
    places = [(width, count) for width in WIDTHS for count in BRANCHES]
    return {
        (width, count): _cost(make, count, width, counted is None or (width, count) in counted)
        for width, count in places
    }


def _cost(make: Callable[..., FusionHead], branches: int, width: int, count_flops: bool) -> Cost:
    inputs = offer(branches, width)
    with torch.device("meta"), torch.no_grad():
        try:
            head = make(inputs, num_classes=CLASSES).eval()
        except AssemblyError as error:
            figure = FIGURE.search(str(error))
            needed = int(figure[1].replace(",", "")) if figure else None
            return Cost(needed, refusal=str(error))
        parameters = sum(each.numel() for each in head.parameters())
        if not count_flops:
            return Cost(parameters)
        features = {name: _features(head, name, each) for name, each in inputs.items()}
        with FlopCounterMode(display=False) as counter:
            head(features)
    return Cost(parameters, counter.get_total_flops())


def _features(head: FusionHead, name: str, offered: HeadInput) -> Features:
    """Gives one sample of what the head reads of a branch, on the default device."""
    asked = head.reads if isinstance(head.reads, (str, Reads)) else head.reads[name]
    reads = Reads.parse(asked) if isinstance(asked, str) else asked
    levels = [offered.levels[index] for index in reads.resolve(len(offered.levels)).levels]
    return Features(
        vector=torch.empty(1, offered.embed_dim) if reads.vector else None,
        maps=tuple(
            torch.empty(1, level.channels, IMAGE // level.stride, IMAGE // level.stride)
            for level in levels
        ),
        logits=torch.empty(1, CLASSES) if reads.logits else None,
    )
