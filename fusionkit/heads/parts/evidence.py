"""How much each branch tells of the classes, by the evidence of a Gaussian process."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from fusionkit.heads.parts.folds import draw_evenly
from fusionkit.heads.parts.minimise import minimise
from fusionkit.heads.parts.probes import measure_lengths

__all__ = ["evidence", "weigh_branches"]

ENOUGH = 300
"""So many samples tell shares apart; of more, so many are drawn."""

STEPS = 50
WIDEST = 8.0
"""The logarithm of the largest ratio of signal to noise, and of the smallest turned round."""

ASIDE = -4.0
"""Where the others start, as such a logarithm, when one branch starts alone."""


@torch.no_grad()
def weigh_branches(blocks: Sequence[Tensor], labels: Tensor, num_classes: int) -> Tensor:
    """Gives shares "b" on the simplex, those under which the samples' classes are most likely.

    Classes are thought to come of a Gaussian process of covariance I + Σ e^g_i K_i, where K_i are
    the inner products of a block's centred vectors, of mean squared length 1. The g_i of the most
    evidence (MacKay, Bayesian Interpolation, 1992; for the choice of one network: LogME,
    arXiv:2102.11005) silence a block that explains nothing beyond the others. No sample is held
    out for it, so that few tell more than they would by cross-validation.

    Args:
        blocks: "n d_i", the vectors of each branch.
        labels: "n".
        num_classes: k.
    """
    rows = draw_evenly(labels, ENOUGH)
    kernels = torch.stack([_inner_products(block[rows]) for block in blocks])
    targets = one_hot(labels[rows], num_classes).to(kernels)
    targets = targets - targets.mean(0)
    targets = targets[:, targets.square().sum(0) > 0]
    telling = kernels.diagonal(dim1=1, dim2=2).sum(1) > 0
    if not targets.numel() or not telling.any():
        return kernels.new_full((len(blocks),), 1 / len(blocks))
    shares = telling.to(kernels.dtype)
    if telling.sum() > 1:
        shares[telling] = _most_likely(kernels[telling], targets)
    return shares


def _most_likely(kernels: Tensor, targets: Tensor) -> Tensor:
    """Gives the shares "b" of the most evidence, looked for from where all or one have a say."""

    def loss(free: Tensor) -> Tensor:
        return -evidence(kernels, targets, _bounded(free))

    together = kernels.new_zeros(1, len(kernels))
    alone = torch.where(torch.eye(len(kernels), device=kernels.device) > 0, together, ASIDE)
    found = [minimise(loss, start, steps=STEPS) for start in torch.cat([together, alone])]
    best = min(found, key=lambda free: float(loss(free)))
    return _bounded(best).softmax(0)


def evidence(kernels: Tensor, targets: Tensor, strengths: Tensor) -> Tensor:
    """Gives the log-likelihood of targets, up to a constant, with the best variance of each.

    Args:
        kernels: "b n n", inner products of centred vectors.
        targets: "n c", centred.
        strengths: "b", the logarithm of each kernel's ratio of signal to noise.
    """
    count, columns = targets.shape
    covariance = torch.tensordot(strengths.exp(), kernels, 1)
    covariance = covariance + torch.eye(count, dtype=kernels.dtype, device=kernels.device)
    root = torch.linalg.cholesky(covariance)
    explained = torch.linalg.solve_triangular(root, targets, upper=False).square().sum(0)
    tiny = torch.finfo(kernels.dtype).tiny
    spread: Tensor = (explained / (count - 1)).clamp_min(tiny).log().sum()
    volume: Tensor = 2 * columns * root.diagonal().log().sum()
    return -((count - 1) * spread + volume) / 2


def _bounded(free: Tensor) -> Tensor:
    return WIDEST * torch.tanh(free / WIDEST)


def _inner_products(block: Tensor) -> Tensor:
    """Gives "n n" of a block "n d", centred and of mean squared length 1; zeros if none varies."""
    x = block.detach().double()
    x = x - x.mean(0)
    x = x / measure_lengths(x)
    return x @ x.T
