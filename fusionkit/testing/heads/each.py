"""Questions that are asked in each situation that a head takes, and how answers are compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from fusionkit.features import Features
from fusionkit.head import FusionHead
from fusionkit.testing.check import Check, Finding, NotApplicableError, describe_error
from fusionkit.testing.heads.subject import HeadCase, HeadSubject
from fusionkit.testing.seed import set_seed

__all__ = [
    "ROUNDING",
    "backwards",
    "check_each",
    "distance",
    "has_fit",
    "mix",
    "modes",
    "own_scores",
    "same",
    "tells_branches",
    "tensors",
]

Value = TypeVar("Value")

FIGURES = re.compile(r"[\d.,:]+(e[+-]?\d+)?")
"""What may differ from case to case in findings that are told once, with the first's figures."""

ROUNDING = 1e-4
"""Two ways of adding up the same float32 numbers differ by less, relative to the largest."""


def check_each(
    todo: str,
    *,
    first: bool = False,
    everywhere: bool = False,
    where: Callable[[HeadCase], bool] | None = None,
    otherwise: str = "",
) -> Callable[[Callable[[HeadCase], Iterator[Finding]]], Check[HeadSubject]]:
    """Makes a check of a question about one case; what is found twice is told once.

    Args:
        todo: what to do when the question raises something of its own.
        first: see ``Check``.
        everywhere: whether it is asked in situations that should make no difference too.
        where: tells the cases that give occasion for it; by default all do.
        otherwise: the cause to skip it where none does.
    """

    def decorate(ask: Callable[[HeadCase], Iterator[Finding]]) -> Check[HeadSubject]:
        def ask_all(subject: HeadSubject) -> Iterator[Finding]:
            found: dict[tuple[str, str], _Told] = {}

            def note(finding: Finding, case: HeadCase) -> None:
                key = FIGURES.sub("", _without_names(finding.what, case)), finding.todo
                told = found.setdefault(key, _Told(finding, {}, {}))
                told.titles[case.title] = None
                told.names.update(
                    (name, None) for name in case.inputs if repr(name) in finding.what
                )

            causes: list[str] = []
            those = subject.all_cases if everywhere else subject.cases
            cases = [case for case in those if where is None or where(case)]
            if not cases:
                raise NotApplicableError(otherwise)
            for case in cases:
                set_seed(0)
                try:
                    for finding in ask(case):
                        note(finding, case)
                except NotApplicableError as error:
                    causes.append(str(error))
                except Exception as error:  # told like any other finding, for each case
                    note(Finding(describe_error(error), todo), case)
            for told in found.values():
                yield told.as_one()
            if not found and len(causes) == len(cases):
                raise NotApplicableError(causes[0])

        promise = (ask.__doc__ or "").strip().splitlines()[0]
        return Check(ask.__name__, promise, ask_all, todo, first)

    return decorate


@dataclass(frozen=True, slots=True)
class _Told:
    """A finding that is the same in several situations, and of several branches.

    Attributes:
        finding: the first.
        titles: of the situations.
        names: of the branches.
    """

    finding: Finding
    titles: dict[str, None]
    names: dict[str, None]

    def as_one(self) -> Finding:
        """Gives one finding for all."""
        others = [repr(name) for name in self.names if repr(name) not in self.finding.what]
        likewise = f"; likewise of {', '.join(others)}" if others else ""
        what = f"{self.finding.what} (with {_listed(list(self.titles))}{likewise})"
        return Finding(what, self.finding.todo)


def _without_names(what: str, case: HeadCase) -> str:
    for name in case.inputs:
        what = what.replace(repr(name), "*")
    return what


def _listed(titles: list[str]) -> str:
    shown = titles if len(titles) <= 4 else [*titles[:3], f"{len(titles) - 3} more"]
    return "; ".join(shown)


def own_scores(head: FusionHead, features: Mapping[str, Features]) -> dict[str, Tensor]:
    """Gives what a head says of single branches, or nothing where it says nothing of them."""
    return head.branch_scores(features) if tells_branches(head) else {}


def tells_branches(head: FusionHead) -> bool:
    """Tells whether it has a ``branch_scores`` of its own."""
    return type(head).branch_scores is not FusionHead.branch_scores


def has_fit(head: FusionHead) -> bool:
    """Tells whether it has a ``fit`` of its own."""
    return type(head).fit is not FusionHead.fit


def modes(head: FusionHead) -> tuple[bool, ...]:
    """Gives the modes in which a head answers: eval, and train unless it says otherwise."""
    return (False, True) if head.trains else (False,)


def backwards(by_name: Mapping[str, Value]) -> dict[str, Value]:
    """Gives the same mapping in the opposite order."""
    return dict(reversed(list(by_name.items())))


def tensors(features: Features) -> tuple[Tensor, ...]:
    """Gives what there is of one branch."""
    all_of_it = (features.vector, *features.maps, features.logits)
    return tuple(value for value in all_of_it if value is not None)


def same(one: Tensor, other: Tensor) -> bool:
    """Tells whether two tensors hold the same values, NaN where NaN is."""
    return torch.equal(torch.nan_to_num(one.detach()), torch.nan_to_num(other.detach()))


def distance(actual: Tensor, expected: Tensor) -> float:
    """Gives the largest difference, relative to the largest value; infinite for other shapes."""
    if actual.shape != expected.shape:
        return float("inf")
    one, other = actual.detach().double(), expected.detach().double()
    gap = (one - other).abs().max()
    scale = other.abs().max().clamp_min(1e-6)
    return float(torch.nan_to_num(gap / scale, nan=float("inf")))


def mix(mine: Features, theirs: Features) -> Features:
    """Gives the first row of one, and the others of the other."""

    def join(one: Tensor, other: Tensor) -> Tensor:
        return torch.cat([one[:1], other[1:]])

    vector = logits = None
    if mine.vector is not None and theirs.vector is not None:
        vector = join(mine.vector, theirs.vector)
    if mine.logits is not None and theirs.logits is not None:
        logits = join(mine.logits, theirs.logits)
    return Features(vector, tuple(map(join, mine.maps, theirs.maps)), logits)
