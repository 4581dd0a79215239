"""``LossWeights``: how much the fused loss and each branch's own count."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fusionkit.errors import PolicyError, did_you_mean
from fusionkit.numbers import is_number

__all__ = ["LossWeights", "check_branches"]


@dataclass(frozen=True, slots=True)
class LossWeights:
    """How much the loss of the fused answer counts, and that of each branch.

    Attributes:
        fused: of the fused answer.
        branches: by branch; or one number for each of them.
    """

    fused: float = 1.0
    branches: float | Mapping[str, float] = 1.0

    def __post_init__(self) -> None:
        _check("fused", self.fused)
        if not isinstance(self.branches, Mapping):
            _check("branches", self.branches)
            return
        for name, weight in self.branches.items():
            _check(f"branches[{name!r}]", weight)
        object.__setattr__(self, "branches", dict(self.branches))

    def by_branch(self, names: Iterable[str]) -> dict[str, float]:
        """Gives the weight of each of these branches.

        Raises:
            PolicyError: there are weights, but not of exactly these branches.
        """
        if not isinstance(self.branches, Mapping):
            return dict.fromkeys(names, self.branches)
        check_branches("the weights", self.branches, names)
        return {name: self.branches[name] for name in names}


def check_branches(what: str, given: Iterable[str], names: Iterable[str]) -> None:
    """Refuses anything but one value for each branch.

    Raises:
        PolicyError: names the branch that is missing or not there.
    """
    given, names = list(given), list(names)
    for name in given:
        if name not in names:
            hint = did_you_mean(name, names) or f" The branches are {', '.join(names)}."
            raise PolicyError(f"{what} name {name!r}, and there is no such branch.{hint}")
    for name in names:
        if name not in given:
            raise PolicyError(f"{what} lack the branch {name!r}; give each branch a value")


def _check(where: str, weight: object) -> None:
    if not is_number(weight) or not 0 <= weight < math.inf:
        raise PolicyError(
            f"LossWeights.{where} is a finite number, zero or positive, got {weight!r:.80}"
        )
