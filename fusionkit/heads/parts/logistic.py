"""Regularised multinomial logistic regressions, many at once."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["fit_logistic"]

BIAS = 1e-8
"""The penalty on the biases: it shows only in classes of which there is no sample."""


def fit_logistic(
    x: Tensor, targets: Tensor, counted: Tensor, penalties: Tensor, *, steps: int = 1000
) -> tuple[Tensor, Tensor]:
    """Gives the weights "p d k" and biases "p k" of p regressions on some of the same samples.

    Each minimises Σ_n s_n CE(softmax(W x_n + b), y_n) + λ/2 ‖W‖², the objective of
    scikit-learn's ``LogisticRegression(C=1/λ)``, by L-BFGS.

    Args:
        x: "n d"; best with components that do not correlate, such as principal components.
        targets: "n k", one-hot classes.
        counted: "p n", the s_n of each regression, 1 for a sample that counts and else 0.
        penalties: "p", the λ of each.
        steps: after how many it ends at the latest.
    """
    width, classes, count = x.shape[1], targets.shape[1], len(penalties)
    # A Hessian is at most half the Gram matrix (Böhning 1992), which is nearly diagonal here: in
    # units of its inverse square root all directions are about equally steep.
    steepness = x.square().sum(0)[:, None] * counted.mean(1) / 2 + penalties
    units = torch.cat([steepness, counted.sum(1)[None] / 2]).rsqrt().unsqueeze(-1)
    strengths = torch.cat([penalties.expand(width, -1), penalties.new_full((1, count), BIAS)])
    strengths = strengths.unsqueeze(-1)
    free = x.new_zeros(width + 1, count, classes)
    shown, given = counted.T.unsqueeze(-1), targets[:, None]

    def measure() -> Tensor:
        """Gives the objective, and leaves its gradient, by hand since autograd is slower."""
        found = free * units
        # One product for all regressions: a batched one would copy x for each.
        scores = (x @ found[:-1].flatten(1)).view(-1, count, classes) + found[-1]
        total = scores.logsumexp(-1, keepdim=True)
        pull = ((scores - total).exp() - given) * shown
        slope = strengths * found
        losses = ((total - (scores * given).sum(-1, keepdim=True)) * shown).sum()
        value = losses + (found * slope).sum() / 2
        slope[:-1] += (x.T @ pull.flatten(1)).view_as(slope[:-1])
        slope[-1] += pull.sum(0)
        free.grad = slope * units
        return value

    optimizer = torch.optim.LBFGS(
        [free],
        max_iter=steps,
        max_eval=2 * steps,
        tolerance_grad=1e-10,
        tolerance_change=1e-13,  # less than a sum of losses can tell: more steps would be blind
        history_size=10,
        line_search_fn="strong_wolfe",
    )
    with torch.no_grad():
        optimizer.step(measure)  # type: ignore[no-untyped-call, unused-ignore]
    found = (free * units).transpose(0, 1)
    return found[:, :-1], found[:, -1]
