"""One training step of a backbone that may learn as a whole, and what was seen of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd import backward

from fusionkit.errors import AssemblyError
from fusionkit.features import Features
from fusionkit.model.anatomy import trunk_of
from fusionkit.model.fused import FusedModel
from fusionkit.testing.backbones.learning.models import learning_model, require_composed
from fusionkit.testing.backbones.learning.once import once
from fusionkit.testing.backbones.learning.places import BRANCH, backbone_of
from fusionkit.testing.backbones.learning.steps import judge_answer, loss_of
from fusionkit.testing.backbones.learning.tensors import answers, keep, same_bits
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import NotApplicableError, describe_error

__all__ = ["FirstStep", "first_step", "require_training", "without_gradient"]

RATE = 1e-2
LEAST_GRADIENT = 1e-12
"""Below it an optimizer's step may be too small to be seen in a number."""
PATIENCE = 3


@dataclass(slots=True)
class FirstStep:
    """What was seen; lists are names of the trunk's parameters.

    Attributes:
        error: what stopped it, if anything did.
        structure: what train mode gives otherwise than eval mode, a phrase each.
        loss: its value.
        learning: how many parameters are to learn.
        misplaced: parameters of the model that an optimizer has not exactly once.
        drawn: whether the backward pass drew random numbers.
        wild: whose gradient is not finite.
        dead: that are to learn and got no gradient, in further steps neither.
        replaced: that are no longer those that the optimizer was given.
        unmoved: that got a gradient and did not move.
    """

    error: str = ""
    structure: list[str] = field(default_factory=list)
    loss: float = 0.0
    learning: int = 0
    misplaced: list[str] = field(default_factory=list)
    drawn: bool = False
    wild: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unmoved: list[str] = field(default_factory=list)


@once
def first_step(subject: BackboneSubject) -> FirstStep:
    """Gives what was seen of one step in train mode, or what stopped it."""
    seen = FirstStep()
    try:
        _take(subject, seen)
    except Exception as error:  # a stranger's code raises what it likes; the checks tell it
        seen.error = describe_error(error)
    return seen


def require_training(subject: BackboneSubject) -> None:
    """Leaves a check that needs a step of training, where there can be none."""
    require_composed(subject)
    if first_step(subject).error:
        raise NotApplicableError("trains says why it cannot be trained")


def without_gradient(model: FusedModel, x: Any, names: set[str]) -> list[str]:
    """Gives which of some parameters get no gradient in further steps either.

    A layer that is left out at random, whole, has none in the steps that leave it out.
    """
    trunk = trunk_of(backbone_of(model))
    for _ in range(PATIENCE if names else 0):
        backward(loss_of(model, x))
        got = {name for name, value in trunk.named_parameters() if value.grad is not None}
        names = names - got
        if not names:
            break
    return sorted(names)


def _take(subject: BackboneSubject, seen: FirstStep) -> None:
    expected = subject.answer
    model = learning_model(subject).train()
    backbone = backbone_of(model)
    trunk = trunk_of(backbone)
    before = dict(trunk.named_parameters())
    learning = model.parts[BRANCH].learning(model.epoch)
    optimizer = torch.optim.Adam(model.param_groups(lr=RATE))
    seen.misplaced = _misplaced(model, optimizer)
    x = subject.example()
    features = backbone(x, subject.reads)
    seen.structure = _compare(features, expected)
    if not isinstance(features, Features):
        raise AssemblyError(seen.structure[0])
    loss = judge_answer(model.head({BRANCH: features}))
    before_backward = torch.get_rng_state()
    backward(loss)
    seen.drawn = not torch.equal(before_backward, torch.get_rng_state())
    seen.loss = float(loss.detach())
    seen.learning = len(learning)
    now = dict(trunk.named_parameters())
    seen.replaced = [name for name in before if now.get(name) is not before[name]]
    gradients = {name: value.grad for name, value in now.items()}
    seen.wild = [name for name, each in gradients.items() if each is not None and _wild(each)]
    strong = [
        name
        for name, each in gradients.items()
        if each is not None and name not in seen.wild and _largest(each) > LEAST_GRADIENT
    ]
    values = keep({name: before[name] for name in strong})
    optimizer.step()
    seen.unmoved = [
        name for name in strong if name in learning and same_bits(values[name], now[name])
    ]
    model.train()  # refuses a trunk that has made itself further parameters
    missing = {name for name in learning if gradients.get(name) is None}
    seen.dead = without_gradient(model, x, missing)


def _misplaced(model: FusedModel, optimizer: torch.optim.Optimizer) -> list[str]:
    given = Counter(id(value) for group in optimizer.param_groups for value in group["params"])
    return [name for name, value in model.named_parameters() if given[id(value)] != 1]


def _compare(train: object, evaluated: Features) -> list[str]:
    if not isinstance(train, Features):
        return [f"forward gives {type(train).__name__} instead of Features"]
    mine, theirs = answers(train), answers(evaluated)
    phrases = [f"there is no {name}" for name in theirs if name not in mine]
    phrases += [f"there is a {name} too" for name in mine if name not in theirs]
    for name in (name for name in mine if name in theirs):
        for what in ("shape", "dtype"):
            one, other = (getattr(each[name], what) for each in (mine, theirs))
            if one != other:
                one, other = (_shown(each) for each in (one, other))
                phrases.append(f"the {what} of the {name} is {one} instead of {other}")
    return phrases


def _shown(value: object) -> object:
    return tuple(value) if isinstance(value, torch.Size) else value


def _wild(gradient: Tensor) -> bool:
    return not bool(torch.isfinite(_values(gradient)).all())


def _largest(gradient: Tensor) -> float:
    values = _values(gradient)
    return float(values.abs().max()) if values.numel() else 0.0


def _values(gradient: Tensor) -> Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else gradient
