"""Looks at what each branch hands to the head: its scale, and whether it is finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fusionkit.features import Features, Reads
from fusionkit.model.routing import route

if TYPE_CHECKING:
    from fusionkit.model.fused import FusedModel

__all__ = ["Diagnosis", "FeatureFacts", "diagnose"]

MAX_RATIO = 100.0
IMAGE_DIMENSIONS = 4
MAX_INPUT = 30.0
"""Far beyond any normalised image, and far below one in 0 to 255."""


@dataclass(frozen=True, slots=True)
class FeatureFacts:
    """What one branch gave.

    Attributes:
        branch: its name.
        kind: ``"vector"``, ``"maps"`` or ``"logits"``.
        rms: the root of the mean square of all finite values.
        not_finite: how many values are NaN or infinite.
        values: how many there are.
    """

    branch: str
    kind: str
    rms: float
    not_finite: int
    values: int


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was seen, to print; ``warnings`` is empty if nothing is wrong.

    Attributes:
        facts: one for each branch and kind of feature that the head reads.
        warnings: what is wrong, a sentence each.
    """

    facts: tuple[FeatureFacts, ...]
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        width = max((len(fact.branch) for fact in self.facts), default=0)
        lines = [
            f"{fact.branch:<{width}}  {fact.kind:<6}  rms {fact.rms:.3g}"
            + (f"  {fact.not_finite:,} of {fact.values:,} not finite" if fact.not_finite else "")
            for fact in self.facts
        ]
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])


def diagnose(model: FusedModel, features: Mapping[str, Features], inputs: Any = None) -> Diagnosis:
    """Gives what ``FusedModel.diagnose`` promises, from features that were already computed.

    Args:
        model: what computed them.
        features: by branch.
        inputs: what they were computed from, as ``FusedModel.forward`` takes it; ``None`` says
            nothing of it.
    """
    facts: list[FeatureFacts] = []
    warnings = [] if inputs is None else _judge_inputs(model, inputs)
    for name, given in features.items():
        mine = [
            _facts(name, kind, tensors)
            for kind, tensors in _tensors(given, model.parts[name].reads).items()
        ]
        facts += mine
        planted = _not_finite(model.branches[name])
        if planted is not None:
            warnings.append(f"branch {name!r}: {planted!r} holds values that are not finite")
        for fact in mine:
            if fact.not_finite:
                warnings.append(
                    f"branch {name!r}: {fact.not_finite:,} of {fact.values:,} values of its "
                    f"{fact.kind} are NaN or infinite; they spread through the head to every answer"
                )
    if (planted := _not_finite(model.head)) is not None:
        warnings.append(f"head: {planted!r} holds values that are not finite")
    for kind in dict.fromkeys(fact.kind for fact in facts):
        warnings += _compare([fact for fact in facts if fact.kind == kind])
    return Diagnosis(tuple(facts), tuple(warnings))


def _judge_inputs(model: FusedModel, inputs: Any) -> list[str]:
    """Says which branches are given images that were not normalised."""
    sources = {name: branch.input for name, branch in model.recipe.branches.items()}
    said = []
    for name, given in route(inputs, sources).items():
        if name in model.prepare or not isinstance(given, Tensor) or given.ndim < IMAGE_DIMENSIONS:
            continue
        reach = given.abs().nan_to_num(0, 0, 0).max() if given.is_floating_point() else None
        if reach is not None and reach > MAX_INPUT:
            said.append(
                f"branch {name!r}: its input reaches {float(reach):,.4g}; images are scaled to "
                "[0, 1] and normalised first"
            )
    return said


def _tensors(features: Features, reads: Reads) -> dict[str, list[Tensor]]:
    """Gives what the head reads of them, by kind."""
    given: dict[str, list[Tensor]] = {}
    if reads.vector and features.vector is not None:
        given["vector"] = [features.vector]
    if reads.maps:
        given["maps"] = list(features.maps)
    if reads.logits and features.logits is not None:
        given["logits"] = [features.logits]
    return given


def _facts(branch: str, kind: str, tensors: list[Tensor]) -> FeatureFacts:
    flat = torch.cat([tensor.detach().cpu().double().flatten() for tensor in tensors])
    finite = flat[flat.isfinite()]
    rms = float(finite.square().mean().sqrt()) if finite.numel() else math.nan
    return FeatureFacts(branch, kind, rms, flat.numel() - finite.numel(), flat.numel())


def _not_finite(module: nn.Module) -> str | None:
    """Gives the name of the first parameter or buffer that holds a NaN or an infinity."""
    for tensors in (module.named_parameters(), module.named_buffers()):
        for name, value in tensors:
            if value.is_floating_point() and not bool(value.isfinite().all()):
                return name
    return None


def _compare(facts: list[FeatureFacts]) -> list[str]:
    """Says which branches drown which."""
    zero = [fact for fact in facts if fact.rms == 0]
    said = [f"branch {fact.branch!r}: its {fact.kind} is all zeros" for fact in zero]
    alive = [fact for fact in facts if fact.rms > 0]
    if not alive:
        return said
    low, high = min(alive, key=_rms), max(alive, key=_rms)
    if high.rms > MAX_RATIO * low.rms:
        said.append(
            f"the {high.kind} of branch {high.branch!r} is {high.rms / low.rms:,.0f} times larger "
            f"than that of branch {low.branch!r}, which it may drown; choose a head that "
            "normalises each branch"
        )
    return said


def _rms(fact: FeatureFacts) -> float:
    return fact.rms
