"""``BranchWeights``: how much each branch counts in an average."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Literal, final

import torch
from torch import Tensor, nn

from fusionkit import ConfigError
from fusionkit.heads.options import is_number, listed, refuse_unknown_branches
from fusionkit.heads.precision import at_least_float32

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

    def average(self, terms: Sequence[Tensor]) -> Tensor:
        """Gives the sum of weight times term."""
        if self.log_weights is None:
            assert self.given is not None
            products = [term * weight for term, weight in zip(terms, self.given, strict=True)]
        else:
            learned = at_least_float32(self.log_weights).softmax(0).unbind()
            products = [term * weight for term, weight in zip(terms, learned, strict=True)]
        return reduce(torch.add, products)

    def log_average_exp(self, terms: Sequence[Tensor]) -> Tensor:
        """Gives the logarithm of the sum of weight times exp(term), without overflow."""
        if self.log_weights is None:
            assert self.given is not None
            logs = [math.log(weight) if weight else -math.inf for weight in self.given]
            shifted = [term + log for term, log in zip(terms, logs, strict=True)]
        else:
            learned = at_least_float32(self.log_weights).log_softmax(0).unbind()
            shifted = [term + log for term, log in zip(terms, learned, strict=True)]
        return torch.stack(shifted).logsumexp(0)

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
