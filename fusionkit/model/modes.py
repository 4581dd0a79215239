"""Which modules train and which are still, from which parameters learn."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from fusionkit.policy.freeze import Freeze
from fusionkit.policy.slots import Anatomy

__all__ = ["apply_modes"]


@dataclass(frozen=True, slots=True)
class _Below:
    """What lies at and below one module."""

    own: int
    total: int
    learning: int
    stages: frozenset[int]


def apply_modes(
    trunk: nn.Module, anatomy: Anatomy, learning: frozenset[str], freeze: Freeze
) -> tuple[nn.Module, ...]:
    """Puts every module of a trunk in the mode that its part is in, and gives those in eval.

    A module that only has parameters of its own trains when all of them learn, so that a norm
    layer with one frozen parameter keeps its statistics. A module with parts trains when any of
    them learns. A module without parameters, such as a dropout, goes with the part it stands in:
    its parent's, or, where the parent spans several stages, the one before it.
    """
    stage_of = {slot.name: slot.stage for slot in anatomy.slots}
    learns = [False] * len(anatomy.stages)
    for name in learning:
        learns[stage_of[name]] = True
    below: dict[nn.Module, _Below] = {}
    _survey(trunk, "", stage_of, learning, below)
    still: list[nn.Module] = []

    def visit(module: nn.Module, train: bool) -> None:
        if freeze.norm == "eval" and getattr(module, "running_mean", None) is not None:
            train = False
        if freeze.dropout == "eval" and "drop" in type(module).__name__.lower():
            train = False
        if module.training != train:
            module.train(train)
        if not train:
            still.append(module)
        spans = len(below[module].stages) > 1
        before = min(below[module].stages, default=0)
        for child in module.children():
            facts = below[child]
            if facts.total:
                visit(child, _trains(facts))
                before = max(facts.stages)
            else:
                visit(child, learns[before] if spans else train)

    visit(trunk, _trains(below[trunk]) if below[trunk].total else False)
    return tuple(still)


def _trains(facts: _Below) -> bool:
    return facts.learning == facts.total if facts.own == facts.total else facts.learning > 0


def _survey(
    module: nn.Module,
    prefix: str,
    stage_of: dict[str, int],
    learning: frozenset[str],
    below: dict[nn.Module, _Below],
) -> _Below:
    """Counts parameters, and those that learn, at and below every module."""
    names = [prefix + name for name, _ in module.named_parameters(recurse=False)]
    known = [name for name in names if name in stage_of]
    own = total = len(known)
    count = sum(name in learning for name in known)
    stages = {stage_of[name] for name in known}
    for name, child in module.named_children():
        facts = _survey(child, f"{prefix}{name}.", stage_of, learning, below)
        total += facts.total
        count += facts.learning
        stages |= facts.stages
    below[module] = _Below(own, total, count, frozenset(stages))
    return below[module]
