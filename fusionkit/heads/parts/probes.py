"""Linear probes: regularised linear classifiers whose strength is found by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fusionkit import DataError
from fusionkit.heads.parts.folds import FOLDS, deal_folds, draw_evenly
from fusionkit.heads.parts.logistic import fit_logistic

__all__ = ["PENALTIES", "Folds", "Probe", "fit_probe", "measure_lengths", "split"]

PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
"""What is tried as λ, for vectors of mean squared length 1; accuracy hardly changes between."""

ENOUGH = 2_000
"""So many samples tell strengths and weights apart; more would cost time only."""

EXACT = 2**22
"""Up to so many numbers in the vectors of all samples, a regression is followed to its last digit
in float64; beyond, for 50 steps in float32."""


class Probe(NamedTuple):
    """A linear classifier, and what its like says of samples that it has not seen.

    Attributes:
        weight: "k d".
        bias: "k".
        held_out: "r n k", scores by regressions fitted to other samples, once for each time
            that samples were dealt; n are the samples of ``Folds.rows``.
        penalty: the λ that does best on these.
    """

    weight: Tensor
    bias: Tensor
    held_out: Tensor
    penalty: float


class Folds(NamedTuple):
    """Which samples judge strengths and weights, and how they take turns.

    Attributes:
        rows: "n", the places of these samples among all.
        dealt: "r n", the fold of each.
    """

    rows: Tensor
    dealt: Tensor


def split(labels: Tensor, num_classes: int) -> Folds:
    """Deals samples into folds, the more often the fewer there are.

    How few samples happen to be dealt decides much: ten are dealt twenty times. Of more than
    some thousand samples a part is drawn. A sample that is the only one of its class is left
    out: nothing that has not seen it can know the class.

    Args:
        labels: "n".
        num_classes: k.

    Raises:
        DataError: no class has two samples.
    """
    known = (labels.bincount()[labels] > 1).nonzero().squeeze(1)
    if not len(known):
        raise DataError(
            "no class has two samples, one to learn from and one to be judged by; hand over more "
            "samples"
        )
    rows = known[draw_evenly(labels[known], max(ENOUGH, FOLDS * num_classes))]
    rows = rows[labels[rows].bincount()[labels[rows]] > 1]  # of few, one may have been drawn
    repeats = min(max(400 // len(rows), 1), 20)
    return Folds(rows, deal_folds(labels[rows], repeats))


def fit_probe(
    blocks: Sequence[Tensor],
    labels: Tensor,
    num_classes: int,
    folds: Folds,
    shares: Tensor | None = None,
) -> Probe:
    """Gives the probe on one or more vectors of each sample, side by side.

    Each block is centred and divided by the root of its mean squared length, so that none
    drowns another and the same λ mean the same everywhere; its components keep their relation.
    It then makes up its share of the whole mean squared length, which is 1.

    Args:
        blocks: "n d_i" each.
        labels: "n".
        num_classes: k.
        folds: by which λ is found.
        shares: "b", sum to 1; equal by default.
    """
    exact = len(labels) * sum(block.shape[1] for block in blocks) <= EXACT
    dtype = torch.float64 if exact else torch.float32
    x = torch.cat([block.detach().to(dtype) for block in blocks], dim=1)
    mean = x.mean(0)
    x -= mean
    parts = torch.split(x, [block.shape[1] for block in blocks], dim=1)  # type: ignore[no-untyped-call, unused-ignore]
    if shares is None:
        shares = x.new_full((len(blocks),), 1 / len(blocks))
    roots = shares.to(dtype).sqrt()
    scale = torch.cat(
        [measure_lengths(part) / root for part, root in zip(parts, roots, strict=True)]
    )
    x /= scale
    axes = _principal_axes(x)
    x = x @ axes
    targets = F.one_hot(labels, num_classes).to(dtype)

    held_out, penalty = _choose(x[folds.rows], targets[folds.rows], folds.dealt)
    everything = x.new_ones(1, len(x))
    steps = 1000 if exact else 50
    weights, biases = fit_logistic(x, targets, everything, x.new_tensor([penalty]), steps=steps)
    weight = (axes @ weights[0]).T / scale
    return Probe(weight, biases[0] - weight @ mean, held_out, penalty)


def measure_lengths(x: Tensor) -> Tensor:
    """Gives the root of the mean squared length, "d"; infinity where nothing varies."""
    length = x.square().sum(1).mean().sqrt()
    return torch.where(length > 0, length, torch.inf).expand(x.shape[1])


def _principal_axes(x: Tensor) -> Tensor:
    """Gives directions "d r" along which the samples do not correlate, all that they span."""
    few = len(x) <= x.shape[1]
    squares: Tensor
    axes: Tensor
    squares, axes = torch.linalg.eigh(x @ x.T if few else x.T @ x)
    kept = squares > squares[-1].clamp_min(1e-30) * len(squares) * torch.finfo(x.dtype).eps
    axes = axes[:, kept]
    return x.T @ (axes / squares[kept].sqrt()) if few else axes


def _choose(x: Tensor, targets: Tensor, dealt: Tensor) -> tuple[Tensor, float]:
    """Gives the held-out scores "r n k" and the λ of the largest held-out likelihood."""
    inside = torch.stack([turn == fold for turn in dealt for fold in range(FOLDS)])
    counted = (~inside).to(x.dtype)
    shown = inside.view(len(dealt), FOLDS, -1, 1)
    best: tuple[float, Tensor, float] | None = None
    for penalty in PENALTIES:  # one by one: together they would converge as the slowest does
        penalties = x.new_full((len(counted),), penalty)
        weight, bias = fit_logistic(x, targets, counted, penalties, steps=60)
        scores = (x @ weight + bias[:, None]).view(len(dealt), FOLDS, *targets.shape)
        held_out = torch.where(shown, scores, 0).sum(1)
        likelihood = float((held_out.log_softmax(-1) * targets).sum(-1).mean())
        if best is None or likelihood > best[0]:
            best = likelihood, held_out, penalty
    assert best is not None
    return best[1], best[2]
