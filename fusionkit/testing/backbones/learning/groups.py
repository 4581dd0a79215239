"""Whether parameter groups and rates come out as stages and policies say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import torch

from fusionkit.errors import did_you_mean
from fusionkit.model.anatomy import trunk_of
from fusionkit.model.fused import FusedModel
from fusionkit.policy.freeze import Freeze
from fusionkit.policy.lr import LR
from fusionkit.testing.backbones.learning.models import compose
from fusionkit.testing.backbones.learning.places import BRANCH, backbone_of
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, check
from fusionkit.testing.words import some

__all__ = [
    "no_weight_decay_names_parameters",
    "rates_keep_their_ratios",
]

STEPS = 6
SCALE, LAYER_DECAY, BLOCKS = 0.5, 0.75, 12
WARMEST = 0.3


@check("list only parameters of the trunk in no_weight_decay", on_meta=True)
def no_weight_decay_names_parameters(subject: BackboneSubject) -> Iterator[Finding]:
    """Every name in ``no_weight_decay`` is that of a parameter of the trunk."""
    backbone = subject.pristine
    known = [name for name, _ in trunk_of(backbone).named_parameters()]
    given: object = backbone.no_weight_decay
    if isinstance(given, str) or not isinstance(given, (frozenset, set)):
        yield Finding(
            f"no_weight_decay is a {type(given).__name__}: {given!r:.80}",
            "write self.no_weight_decay = frozenset({'pos_embed'})",
        )
        return
    unknown = sorted(str(name) for name in given if name not in known)
    if unknown:
        yield Finding(
            f"no_weight_decay names what is no parameter of the trunk: {some(unknown)}."
            f"{did_you_mean(unknown[0], known)}",
            "give the full names of trunk.named_parameters(), without globs; of tied parameters "
            "the first",
        )


@check("give `stages` that stay what they were after the backbone was built", on_meta=True)
def rates_keep_their_ratios(subject: BackboneSubject) -> Iterator[Finding]:
    """Under every schedule each block's rate is base x layer decay x the schedule's closed form."""
    lr = LR(SCALE, layer_decay=LAYER_DECAY, by="block")
    model = compose(subject, freeze=Freeze.none(), lr=lr)
    expected = _rates(model)
    for shape, (options, form) in SHAPES.items():
        optimizer = torch.optim.SGD(model.param_groups(lr=1.0), momentum=0.9)
        scheduler = model.lr_scheduler(optimizer, shape, **options)
        for step in range(STEPS):
            wrong = [
                f"{group['name']} {group['lr']:.4g} instead of {rate * form(step):.4g}"
                for group in optimizer.param_groups
                for rate in {expected.get(id(value), 1.0) for value in group["params"]}
                if not math.isclose(group["lr"], rate * form(step), rel_tol=1e-9, abs_tol=1e-15)
            ]
            if wrong:
                yield Finding(
                    f"under {shape!r} {len(wrong)} groups have another rate at step {step}: "
                    f"{some(wrong)}",
                    "keep `stages` a fixed tuple that is set in __init__",
                )
                break
            if step < STEPS - 1:
                optimizer.step()
                scheduler.step()


def _rates(model: FusedModel) -> dict[int, float]:
    """Gives the rate of each parameter of the branch, from its block's place among all."""
    backbone = backbone_of(model)
    trunk = dict(trunk_of(backbone).named_parameters())
    part = model.parts[BRANCH]
    slots = part.anatomy.slots
    alive = {slot.stage for slot in slots if slot.name in part.learnable}
    blocks = sorted({slot.block for slot in slots if slot.stage in alive})
    count = len(blocks)
    rates = {}
    for slot in slots:
        rate = SCALE
        if slot.stage in alive and count > 1:
            depth = Fraction(count - 1 - blocks.index(slot.block), count - 1)
            rate = SCALE * LAYER_DECAY ** float(BLOCKS * depth)
        rates[id(trunk[slot.name])] = rate
    return rates


def _one_cycle(at: int) -> float:
    """Gives torch's default one-cycle: from 1/25 up to 1, then down to 1/25 of 1/10,000."""
    low, least, top = 1 / 25, 1 / 25 / 1e4, WARMEST * STEPS - 1
    if at <= top:
        return _cosine(low, 1.0, at / top)
    return _cosine(1.0, least, (at - top) / (STEPS - 1 - top))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


SHAPES: Mapping[str, tuple[Mapping[str, Any], Callable[[int], float]]] = {
    "cosine": ({"total_steps": STEPS}, lambda at: (1 + math.cos(math.pi * at / STEPS)) / 2),
    "step": ({"step_size": 2, "gamma": 0.5}, lambda at: float(0.5 ** (at // 2))),
    "one_cycle": ({"total_steps": STEPS, "pct_start": WARMEST}, _one_cycle),
}
"""Options and closed form of each schedule, as a function of the step."""
