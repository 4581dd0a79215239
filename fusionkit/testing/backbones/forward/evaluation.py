"""Whether eval mode is calm: the same answer again, and nothing changed."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from fusionkit.backbone.contract import Backbone
from fusionkit.errors import DataError
from fusionkit.features import Reads
from fusionkit.testing.backbones.forward.compare import differences
from fusionkit.testing.backbones.forward.steadiness import require_steady
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, check
from fusionkit.testing.registered import tell_left_by_inference
from fusionkit.testing.words import some

__all__ = ["eval_has_no_side_effects", "eval_is_deterministic", "tell_changed_input"]

KEEP_SUPER = (
    "let train(mode) hand its argument to super().train(mode) and change no mode otherwise, or "
    "leave it out; eval() calls train(False)"
)
CALM = "draw nothing in eval mode: ask self.training, or use torch.nn's dropout layers"


@check("make forward run twice on the same input in eval mode")
def eval_is_deterministic(subject: BackboneSubject) -> Iterator[Finding]:
    """In eval mode the same input gives the same bits, and no random numbers are drawn."""
    backbone = subject.copy()
    if awake := [name or "itself" for name, each in backbone.named_modules() if each.training]:
        yield Finding(f"after eval() {some(awake)} are still in train mode", KEEP_SUPER)
        return
    first = subject.run(backbone, subject.example())
    again = subject.example()
    before = _random_states()
    second = subject.run(backbone, again)
    drawn = [name for name, state in _random_states().items() if state != before[name]]
    if drawn:
        yield Finding(f"a forward pass draws random numbers from {some(drawn)}", CALM)
    for what in differences(second, first, subject.reads, 0.0):
        yield Finding(f"run again on the same input, {what}", CALM)


@check("make forward run in eval mode on one input after another")
def eval_has_no_side_effects(subject: BackboneSubject) -> Iterator[Finding]:
    """Nothing that was asked in eval mode changes the backbone, the input or a later answer."""
    require_steady(subject)
    backbone, x = subject.copy(), subject.example()
    given = pytree.tree_map_only(Tensor, torch.clone, x)
    before = _condition(backbone)
    with torch.inference_mode():  # as predict does; what is kept of it is met again below
        first = subject.run(backbone, x)
    yield from tell_changed_input(x, given)
    _ask_otherwise(subject, backbone)
    yield from _changes(before, _condition(backbone))
    for what in differences(subject.run(backbone, given), first, subject.reads, 1e-6):
        yield Finding(
            f"after other inputs and reads, {what}",
            "keep nothing of an input; a table that is kept is made of parameters alone",
        )
    yield from _mixed_up(subject, backbone)
    yield from tell_left_by_inference(lambda: backbone(subject.example(), subject.reads))


def tell_changed_input(x: Any, given: Any, when: str = "") -> Iterator[Finding]:
    """Gives a finding if an input is no longer what was given."""
    if not _equal(x, given):
        yield Finding(
            f"{when}forward changes its input in place",
            "write x = x - mean, not x -= mean or x.sub_(mean)",
        )


def _mixed_up(subject: BackboneSubject, backbone: Backbone) -> Iterator[Finding]:
    """Asks for an oblong image, after a square one of as many pixels and without it."""
    if len(subject.sizes) < 2:
        return
    height, width = subject.sizes[0]
    square, oblong = (2 * height, 2 * width), (height, 4 * width)

    def draw(size: tuple[int, int]) -> Any:
        return subject.example(batch=1, seed=1, size=size)

    try:
        for size in (square, oblong):
            backbone.check_input(draw(size))
    except DataError:  # it takes squares only
        return
    subject.run(backbone, draw(square))
    alone = subject.run(subject.copy(), draw(oblong))
    after = subject.run(backbone, draw(oblong))
    for what in differences(after, alone, subject.reads, 1e-6):
        yield Finding(
            f"at {height} x {4 * width} pixels, after {2 * height} x {2 * width}, {what}",
            "keep what depends on the size by height and width, not by their product",
        )


def _ask_otherwise(subject: BackboneSubject, backbone: Any) -> None:
    """Runs on another input, of another size if there is one, with less read."""
    size = subject.sizes[1] if len(subject.sizes) > 1 else None
    few = Reads(vector=True) if not subject.reads.levels else Reads(maps=subject.reads.levels[:1])
    subject.run(backbone, subject.example(batch=3, seed=1, size=size), few)


def _random_states() -> dict[str, Any]:
    states: dict[str, Any] = {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "random": random.getstate(),
    }
    if "numpy" in sys.modules:
        states["numpy"] = repr(sys.modules["numpy"].random.get_state(legacy=False))
    return states


def _condition(backbone: nn.Module) -> dict[str, dict[str, Any]]:
    """Gives what a forward pass has to leave as it is, by kind and name."""
    parameters, buffers = dict(backbone.named_parameters()), dict(backbone.named_buffers())
    return {
        "parameters": {name: value.detach().clone() for name, value in parameters.items()},
        "buffers": {name: value.clone() for name, value in buffers.items()},
        "training modes": {name: module.training for name, module in backbone.named_modules()},
        "requires_grad": {name: value.requires_grad for name, value in parameters.items()},
    }


def _changes(
    before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]
) -> Iterator[Finding]:
    for kind, were in before.items():
        are = after[kind]
        changed = [name or "itself" for name in were if not _equal(are.get(name), were[name])]
        changed += [name for name in are if name not in were]
        if changed:
            yield Finding(
                f"a forward pass in eval mode changes {kind} of {some(changed)}",
                "change and make such things in __init__, or in training mode only",
            )


def _equal(one: Any, other: Any) -> bool:
    mine, theirs = pytree.tree_leaves(one), pytree.tree_leaves(other)
    return len(mine) == len(theirs) and all(
        _same_bits(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a is b or a == b
        for a, b in zip(mine, theirs, strict=True)
    )


def _same_bits(one: Tensor, other: Tensor) -> bool:
    if one.is_meta or other.is_meta:
        return one.is_meta == other.is_meta and one.shape == other.shape
    if one.is_floating_point():  # not a number is equal to itself here
        one, other = one.nan_to_num(), other.nan_to_num()
    return torch.equal(one, other)
