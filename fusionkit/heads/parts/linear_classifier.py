"""One penalised linear classifier, for heads that fit."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fusionkit.heads.parts.minimise import minimise

__all__ = ["fit_linear"]

CONSTANT = 1e-6
"""A component that varies by less of its size is taken for a constant."""


def fit_linear(
    x: Tensor,
    labels: Tensor,
    num_classes: int,
    *,
    offset: Tensor | None = None,
    penalty: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Gives the weight "k d" and bias "k" of the best penalised linear classifier, in float64.

    The penalty is on the weights of standardised components, so that no component's scale
    matters, and on the bias, so that a class without samples leaves it finite.

    Args:
        x: "n d".
        labels: "n".
        num_classes: k.
        offset: "n k", scores to which those of the classifier are added; none by default.
        penalty: half of it times the squared weights is added to the summed loss; 1 is what
            scikit-learn's C=1 is.
    """
    x = x.detach().double()
    mean, spread = x.mean(0), x.std(0, correction=0)
    spread = torch.where(spread > CONSTANT * x.abs().amax(0), spread, torch.inf)
    design = F.pad((x - mean) / spread, (0, 1), value=1.0)

    def loss(weights: Tensor) -> Tensor:
        scores = design @ weights.T
        scores = scores if offset is None else scores + offset
        squares = weights.square().sum()
        return F.cross_entropy(scores, labels) + penalty / (2 * len(x)) * squares

    found = minimise(loss, x.new_zeros(num_classes, design.shape[1]))
    weight = found[:, :-1] / spread
    return weight, found[:, -1] - weight @ mean
