"""Losses of the fused answer and of each branch, their sum, and their averages over a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias, final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from fusionkit.balance.scores import Scores, score
from fusionkit.balance.weights import LossWeights
from fusionkit.errors import DataError
from fusionkit.model.fused import FusedModel

__all__ = ["AuxiliaryLoss", "Losses", "average_losses", "branch_losses"]

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


class Losses(NamedTuple):
    """One loss of the fused answer and one of each branch; each a number, or a tensor of one.

    Attributes:
        fused: of the fused answer.
        branches: by branch.
    """

    fused: Any
    branches: dict[str, Any]


def branch_losses(scores: Scores, labels: Tensor, loss: Loss = cross_entropy) -> Losses:
    """Gives the loss of the fused answer and of each branch's own scores.

    Args:
        scores: from ``score``.
        labels: what ``loss`` takes, "b" or "b k".
        loss: of scores "b k" and labels.
    """
    own = {name: loss(each, labels) for name, each in scores.branches.items()}
    return Losses(loss(scores.fused, labels), own)


@final
class AuxiliaryLoss:
    """The loss of the fused answer, and beside it one for each branch (arXiv:1905.12681).

    Gives w_0 L(fused) + Σ w_i L(branch i).

    Example::

        loss = fusionkit.balance.AuxiliaryLoss(0.3)
        loss(fusionkit.balance.score(model, images), labels).backward()

    Args:
        weights: one number for each branch, beside 1 for the fused answer; numbers by branch; or
            ``LossWeights``, as gradient blending gives them.
        loss: of scores "b k" and labels.

    Raises:
        PolicyError: a weight is no number of at least 0; or, when called, there are not exactly
            the branches that have weights.
    """

    def __init__(
        self, weights: float | Mapping[str, float] | LossWeights = 1.0, loss: Loss = cross_entropy
    ) -> None:
        self.weights = weights if isinstance(weights, LossWeights) else LossWeights(1.0, weights)
        self.loss = loss

    def __call__(self, scores: Scores, labels: Tensor) -> Tensor:
        """Gives the weighted sum.

        A weight of 0 gives gradients of 0 and not none, which data-parallel training needs.
        """
        weights = self.weights.by_branch(scores.branches)
        losses = branch_losses(scores, labels, self.loss)
        total: Tensor = self.weights.fused * losses.fused
        for name, weight in weights.items():
            total = total + weight * losses.branches[name]
        return total

    def __repr__(self) -> str:
        return f"AuxiliaryLoss({self.weights}, {getattr(self.loss, '__name__', self.loss)})"


@torch.no_grad()
def average_losses(
    model: FusedModel, batches: Iterable[tuple[Any, Tensor]], loss: Loss = cross_entropy
) -> Losses:
    """Gives the average losses over a data set as numbers, in eval mode; the mode is kept.

    Args:
        model: whose head gives scores of single branches.
        batches: pairs of inputs and labels.
        loss: gives the mean over a batch.

    Raises:
        DataError: there are no batches.
    """
    training = model.training
    model.eval()
    try:
        count, total = 0, Losses(0.0, {})
        for inputs, labels in batches:
            losses = branch_losses(score(model, inputs), labels, loss)
            size = len(labels)
            count += size
            own = {
                name: total.branches.get(name, 0.0) + size * float(each)
                for name, each in losses.branches.items()
            }
            total = Losses(total.fused + size * float(losses.fused), own)
    finally:
        model.train(training)
    if not count:
        raise DataError("average_losses was given no batches; hand over a loader (inputs, labels)")
    own = {name: each / count for name, each in total.branches.items()}
    return Losses(total.fused / count, own)
