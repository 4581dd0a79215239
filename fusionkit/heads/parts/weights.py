"""``BranchWeights``: how much each branch counts in an average."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from fusionkit.heads.parts.given_weights import (
    NEVER,
    by_class,
    check_classes,
    read_weights,
    read_weights_by_class,
)
from fusionkit.heads.parts.options import is_word
from fusionkit.heads.parts.precision import at_least_float32

__all__ = ["BranchWeights", "Weights"]

Weights = Literal["equal", "learned", "per_class", "fitted"] | Mapping[str, float | Sequence[float]]


@final
class BranchWeights(nn.Module):
    """Holds one weight per branch, none negative and together 1, and averages with them.

    Args:
        names: the branches, in the order of the terms that are averaged.
        weights: ``"equal"``; ``"learned"``, the softmax of parameters that start equal;
            ``"per_class"``, the same for each class; ``"fitted"``, equal until ``set_shares``;
            or numbers by branch, divided by their sum, also one for each class.
        num_classes: how many there are, where weights may be by class.

    Attributes:
        given: the weights if they are one constant by branch, else ``None``.
        log_weights: "n" or "n k", their unnormalised logarithms if they are no such constants:
            a parameter if they are learned, else a buffer; else ``None``.
        fitted: whether they are to be fitted.
    """

    log_weights: Tensor | None

    def __init__(
        self, names: Sequence[str], weights: Weights = "equal", num_classes: int | None = None
    ) -> None:
        super().__init__()
        self.names = tuple(names)
        self.fitted = is_word(weights, "fitted")
        self.given: tuple[float, ...] | None = None
        if by_class(weights):
            logs = read_weights_by_class(self.names, weights, num_classes)
            self.register_buffer("log_weights", logs)
        elif self.fitted:
            self.register_buffer("log_weights", torch.zeros(len(self.names)))
        elif is_word(weights, "learned", "per_class"):
            shape: tuple[int, ...] = (len(self.names),)
            if weights == "per_class":
                shape = (len(self.names), check_classes(num_classes))
            self.register_parameter("log_weights", nn.Parameter(torch.zeros(shape)))
        else:
            self.register_parameter("log_weights", None)
            self.given = read_weights(self.names, weights)

    @property
    def per_class(self) -> bool:
        """Whether each class has weights of its own."""
        return self.log_weights is not None and self.log_weights.ndim == 2

    @torch.no_grad()
    def set_shares(self, shares: Tensor) -> None:
        """Sets weights that are fitted, "n", none negative and not all zero."""
        assert self.fitted
        assert self.log_weights is not None
        self.log_weights.copy_((shares / shares.sum()).log().clamp_min(NEVER))

    def average(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Gives the sum of weight times term, the weights of the terms that are there made 1."""
        return reduce(torch.add, map(torch.mul, terms.values(), self.shares(terms)))

    def shares(self, terms: Collection[str]) -> Sequence[Any]:
        """Gives the weights of some branches, made 1: numbers, or tensors "" or "k"."""
        if self.log_weights is None:
            return self._constants(terms)
        return self._logarithms(terms).softmax(0).unbind()

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
        """Gives the logarithms of some branches, "n" or "n k"."""
        assert self.log_weights is not None
        logs = at_least_float32(self.log_weights)
        if len(terms) == len(self.names):
            return logs
        return torch.stack([logs[self.names.index(name)] for name in terms])

    def as_dict(self) -> dict[str, Any]:
        """Gives the weights as they are now, by branch; a list if each class has its own."""
        if self.log_weights is None:
            assert self.given is not None
            return dict(zip(self.names, self.given, strict=True))
        now = at_least_float32(self.log_weights.detach()).softmax(0).tolist()
        return dict(zip(self.names, now, strict=True))

    def extra_repr(self) -> str:
        """Gives the weights, or says that they are learned or fitted."""
        if self.given is None:
            learned = isinstance(self.log_weights, nn.Parameter)
            kind = "learned" if learned else "fitted" if self.fitted else "given"
            kind += " per class" if self.per_class else ""
            return f"{kind} for {', '.join(self.names)}"
        return ", ".join(f"{name}={weight:.4g}" for name, weight in self.as_dict().items())
