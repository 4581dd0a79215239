"""Regularised multinomial logistic regressions, many at once."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["fit_logistic"]

STEPS = 1000


def fit_logistic(
    x: Tensor, targets: Tensor, counted: Tensor, penalties: Tensor, *, steps: int = STEPS
) -> tuple[Tensor, Tensor]:
    """Gives the weights "p d k" and biases "p k" of p regressions on the same samples.

    Each minimises Σ_n s_n CE(softmax(W x_n + b), y_n) + λ/2 ‖W‖², the objective of
    scikit-learn's ``LogisticRegression(C=1/λ)``, by L-BFGS. The biases bear a penalty so small
    that it shows only in classes of which there is no sample.

    Args:
        x: "n d" in float32 or float64. Each component is stepped by its own curvature, so
            components that do not correlate (``principal_axes``) converge in few steps.
        targets: "n k", which class each sample is.
        counted: "p n", the s_n of each regression, 1 for a sample that counts and 0 for others.
        penalties: "p", the λ of each.
        steps: after how many it ends at the latest.
    """
    width, classes = x.shape[1], targets.shape[1]
    # Hessians are at most half the Gram matrix (Böhning 1992), here nearly diagonal: in units of
    # its inverse square root all directions are about equally steep.
    steepness = counted.mean(1, keepdim=True) * x.square().sum(0) / 2 + penalties[:, None]
    units = steepness.rsqrt().unsqueeze(-1)
    bias_units = (counted.sum(1) / 2).rsqrt()[:, None]
    free = x.new_zeros(len(penalties), width + 1, classes)

    def scale(free: Tensor) -> tuple[Tensor, Tensor]:
        return free[:, :width] * units, free[:, width] * bias_units

    def loss() -> Tensor:
        optimizer.zero_grad()
        weight, bias = scale(free)
        scores = x @ weight + bias[:, None]
        errors = scores.logsumexp(-1) - (scores * targets).sum(-1)
        penalty = (penalties[:, None, None] * weight.square()).sum() + BIAS * bias.square().sum()
        total = (errors * counted).sum() + penalty / 2
        torch.autograd.backward(total)
        return total

    with torch.enable_grad():
        free.requires_grad_()
        optimizer = torch.optim.LBFGS(
            [free],
            max_iter=steps,
            history_size=10,
            tolerance_grad=1e-7,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    return scale(free.detach())


BIAS = 1e-6
