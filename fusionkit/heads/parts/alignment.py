"""How much each branch tells of the classes: what is alike in it is of one class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from fusionkit.heads.parts.folds import draw_evenly
from fusionkit.heads.parts.minimise import minimise

__all__ = ["weigh_branches"]

ENOUGH = 300
"""So many samples tell shares apart; of more, so many are drawn."""


@torch.no_grad()
def weigh_branches(blocks: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Gives shares "b" on the simplex, by how well each block tells which samples are of one class.

    Over all pairs of samples, the inner products of their centred classes are explained by those
    of their vectors: a regression by least squares with a constant, none of whose coefficients is
    below 0 (Cortes et al., JMLR 13, 2012). What is alike for whatever reason is so taken off, and
    a block that explains nothing beyond the others has no share. Coefficients are standardised:
    inner products that hardly vary, such as those of noise, need a large one to explain anything.

    Ten samples make 45 pairs, and none is held out, so that few tell more than they would by
    cross-validation.

    Args:
        blocks: "n d_i", the vectors of each branch.
        labels: "n".
    """
    rows = draw_evenly(labels, ENOUGH)
    likeness = torch.stack([_compare_pairs(block[rows]) for block in blocks])
    target = _compare_pairs(one_hot(labels[rows]))
    related, told = likeness @ likeness.T, likeness @ target

    def misfit(roots: Tensor) -> Tensor:
        shares = roots.square()
        return shares @ related @ shares / 2 - told @ shares

    if not (told > 0).any():
        return torch.full_like(told, 1 / len(blocks))
    shares = minimise(misfit, told.clamp_min(0).sqrt()).square()
    return shares / shares.sum()


def _compare_pairs(block: Tensor) -> Tensor:
    """Gives the inner products of different rows, centred, and standardised where they vary."""
    x = block.detach().double()
    x = x - x.mean(0)
    different = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    products = (x @ x.T)[different]
    products = products - products.mean()
    length = products.norm()
    varies = length > torch.finfo(x.dtype).eps * x.square().sum()
    return torch.where(varies, products / length, 0)
