"""``BranchWeights``: how much each branch counts in an average."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from fusionkit import ConfigError
from fusionkit.heads.parts.options import is_number, listed, refuse_unknown_branches
from fusionkit.heads.parts.precision import at_least_float32

__all__ = ["BranchWeights", "Weights"]

Weights = Literal["equal", "learned"] | Mapping[str, float]


@final
class BranchWeights(nn.Module):
    """Holds one weight per branch, none negative and together 1, and averages with them.

    Args:
        names: the branches, in the order of the terms that are averaged.
        weights: ``"equal"``; ``"learned"``, the softmax of parameters that start equal; or
            numbers by branch, divided by their sum.

    Attributes:
        given: the weights if they are constants, else ``None``.
        log_weights: "n", their unnormalised logarithms if they are learned, else ``None``.
    """

    log_weights: nn.Parameter | None

    def __init__(self, names: Sequence[str], weights: Weights = "equal") -> None:
        super().__init__()
        self.names = tuple(names)
        self.given = _read_weights(self.names, weights)
        learned = nn.Parameter(torch.zeros(len(self.names))) if self.given is None else None
        self.register_parameter("log_weights", learned)

    def average(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Gives the sum of weight times term, the weights of the terms that are there made 1."""
        weights: Sequence[Any]
        if self.log_weights is None:
            weights = self._constants(terms)
        else:
            weights = self._logarithms(terms).softmax(0).unbind()
        return reduce(torch.add, map(torch.mul, terms.values(), weights))

    def log_average_exp(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Gives the logarithm of the sum of weight times exp(term), without overflow."""
        logs: Sequence[Any]
        if self.log_weights is None:
            logs = [math.log(each) if each else -math.inf for each in self._constants(terms)]
        else:
            logs = self._logarithms(terms).log_softmax(0).unbind()
        return torch.stack(list(map(torch.add, terms.values(), logs))).logsumexp(0)

    def _constants(self, terms: Collection[str]) -> list[float]:
        """Gives the constant weights of some branches, together 1; equal if all of them are 0."""
        assert self.given is not None
        by_name = dict(zip(self.names, self.given, strict=True))
        total = sum(by_name[name] for name in terms)
        if not total:
            return [1 / len(terms)] * len(terms)
        return [by_name[name] / total for name in terms]

    def _logarithms(self, terms: Collection[str]) -> Tensor:
        """Gives the learned logarithms of some branches, "n"."""
        assert self.log_weights is not None
        logs = at_least_float32(self.log_weights)
        if len(terms) == len(self.names):
            return logs
        return torch.stack([logs[self.names.index(name)] for name in terms])

    def as_dict(self) -> dict[str, float]:
        """Gives the weights as they are now, by branch."""
        if self.log_weights is None:
            assert self.given is not None
            return dict(zip(self.names, self.given, strict=True))
        now = at_least_float32(self.log_weights.detach()).softmax(0).tolist()
        return dict(zip(self.names, now, strict=True))

    def extra_repr(self) -> str:
        """Gives the weights, or says that they are learned."""
        if self.given is None:
            return f"learned for {', '.join(self.names)}"
        return ", ".join(f"{name}={weight:.4g}" for name, weight in self.as_dict().items())


def _read_weights(names: tuple[str, ...], weights: Weights) -> tuple[float, ...] | None:
    """Gives constant weights, normalised, or ``None`` where they are to be learned."""
    if weights == "learned":
        return None
    if weights == "equal":
        return (1 / len(names),) * len(names)
    example = ", ".join(f"{name!r}: {1 / len(names):.2g}" for name in names[:3])
    if not isinstance(weights, Mapping):
        raise ConfigError(
            "option weights is 'equal', 'learned' or a number for each branch, "
            f"got {weights!r}; write for example weights={{{example}}}"
        )
    refuse_unknown_branches("weights", weights, names)
    missing = [name for name in names if name not in weights]
    if missing:
        raise ConfigError(
            f"option weights has no weight for {listed(missing)}; write "
            f"weights={{..., {missing[0]!r}: 0}} if it is not to count"
        )
    for name, weight in weights.items():
        if not (is_number(weight) and weight >= 0):
            raise ConfigError(
                f"option weights: the weight of {name!r} must be a finite number, zero or "
                f"positive, got {weight!r}"
            )
    total = sum(weights.values())
    if not 0 < total < math.inf:
        raise ConfigError(
            f"option weights: their sum is {total:g}, and an average needs a positive, "
            f"finite one; write for example weights={{{example}}}, or weights='equal'"
        )
    return tuple(weights[name] / total for name in names)
