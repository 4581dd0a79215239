"""Asks one model, in the process that was made for it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fusionkit.backbone.contract import Backbone
from fusionkit.catalog import Catalog
from fusionkit.testing.backbones.all import BACKBONE_CHECKS
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Check, Finding, Outcome
from fusionkit.testing.judge import choose, judge
from fusionkit.testing.sweep.exceptions import known_failures
from fusionkit.testing.sweep.references import reference_for, stock_keys_for
from fusionkit.testing.sweep.row import Mode, Row
from fusionkit.testing.sweep.shortcuts import shortcuts
from fusionkit.testing.sweep.sizes import make_small

__all__ = ["Order", "examine"]

COPIES = 8
"""How often a model's parameters lie in memory at once, as was seen: kept, and in a check at most
two fused models of it, one with gradients and what the optimizer keeps."""

BASE_GIB = 0.75
"""What a process holds without a model."""

SHOWN = 5
LONGEST = 300


@dataclass(frozen=True, slots=True)
class Order:
    """One model to ask.

    Attributes:
        wanted: what is known of its row before.
        checks: the names of those to ask.
        memory_gib: what its process may hold.
        too_much: why it is asked on the meta device, if that is known before.
        shrink: whether to look for its smallest input.
    """

    wanted: Row
    checks: tuple[str, ...]
    memory_gib: float
    too_much: str = ""
    shrink: bool = True


def examine(
    order: Order, catalog: Catalog, tell: Callable[[str], None]
) -> tuple[Row, dict[str, float]]:
    """Gives the row of a model, and the seconds that each check took.

    Args:
        order: what to ask of whom.
        catalog: where it is found.
        tell: is called with what is done next.
    """
    model = order.wanted.model
    tell("looking for the smallest input")
    warnings.simplefilter("ignore")
    small = make_small(model, catalog.backbone(model).factory, shrink=order.shrink)
    parameters = count_parameters(small.built)
    too_large = "" if order.too_much else _too_large(parameters, order.memory_gib)
    why = order.too_much or too_large
    subject = BackboneSubject(
        small.make,
        reference=None if why else reference_for(model, small.options),
        on_meta=bool(why),
        stock_keys=stock_keys_for(model, small.options),
        factories=_Siblings(catalog, order.wanted.provider),
    )
    asked = choose(BACKBONE_CHECKS, order.checks, on_meta=bool(why))
    mode: Mode = "meta" if why else "full"
    expected = known_failures(model, mode)
    with shortcuts():
        outcomes = judge([_announced(each, tell) for each in asked], subject, expected)
    row = replace(
        order.wanted,
        mode=mode,
        why=why,
        memory_gib=order.memory_gib if too_large else order.wanted.memory_gib,
        options=dict(small.options),
        parameters=parameters,
        input=_shape_of(subject, outcomes),
        passed=sum(outcome.status == "passed" for outcome in outcomes),
        skipped=_causes(outcomes, "skipped"),
        expected=_causes(outcomes, "expected"),
        failed={each.check: _told(each) for each in outcomes if each.status == "failed"},
    )
    return row, {outcome.check: outcome.seconds for outcome in outcomes}


class _Siblings(Mapping[str, Callable[..., Backbone]]):
    """A provider's backbones by the names that it has for them."""

    def __init__(self, catalog: Catalog, provider: str) -> None:
        self.catalog = catalog
        self.provider = provider

    def __getitem__(self, name: str) -> Callable[..., Backbone]:
        return self.catalog.backbone(f"{self.provider}/{name}").factory

    def __iter__(self) -> Iterator[str]:
        return iter(name.partition("/")[2] for name in self.catalog.backbones(self.provider))

    def __len__(self) -> int:
        return len(self.catalog.backbones(self.provider))


def count_parameters(built: Backbone) -> int:
    """Gives how many numbers a backbone learns, tied ones counted once."""
    return sum(value.numel() for value in built.parameters())


def _too_large(parameters: int, memory_gib: float) -> str:
    needed = BASE_GIB + parameters * 4 * COPIES / 2**30
    if needed <= memory_gib:
        return ""
    return f"too large for {memory_gib:g} GiB: it would take about {needed:.1f}"


def _announced(check: Check[Any], tell: Callable[[str], None]) -> Check[Any]:
    """Gives a check that says when it begins."""

    def ask(subject: Any) -> Iterator[Finding]:
        tell(check.name)
        yield from check.ask(subject)

    return replace(check, ask=ask)


def _shape_of(subject: BackboneSubject, outcomes: tuple[Outcome, ...]) -> str:
    """Gives the shape of the smallest sample, if it runs on one."""
    if any(outcome.check == "runs" and outcome.status != "passed" for outcome in outcomes):
        return ""
    leaves = torch.utils._pytree.tree_leaves(subject.example(1))
    shapes = [" ".join(map(str, leaf.shape[1:])) for leaf in leaves if isinstance(leaf, Tensor)]
    return ", ".join(shapes)


def _causes(outcomes: tuple[Outcome, ...], status: str) -> dict[str, str]:
    return {each.check: each.cause for each in outcomes if each.status == status}


def _told(outcome: Outcome) -> tuple[str, ...]:
    told = [finding.what[:LONGEST] for finding in outcome.findings[:SHOWN]]
    left = len(outcome.findings) - SHOWN
    return (*told, f"and {left} more") if left > 0 else tuple(told)
