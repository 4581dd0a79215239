"""Whether a head minds how its features lie in memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from fusionkit.features import Features
from fusionkit.testing.check import Check, Finding
from fusionkit.testing.heads.each import ROUNDING, check_each, distance, modes
from fusionkit.testing.heads.learning import backward
from fusionkit.testing.heads.subject import HeadCase, HeadSubject

__all__ = ["CHECKS"]

ADVICE = (
    "write flatten and reshape instead of view; backbones give maps channels last and vectors "
    "cut from larger tensors"
)


@check_each(ADVICE)
def memory_layout_is_free(case: HeadCase) -> Iterator[Finding]:
    """Maps that lie channels last, and vectors cut from larger tensors, change nothing."""
    head = case.build()
    expected = case.run(head, case.features())
    gap = distance(case.run(head, _laid_out(case)), expected)
    if gap > ROUNDING and torch.equal(case.run(head, case.features()), expected):
        yield Finding(
            f"with other strides, the same features change the answer by {gap:.2g} of its size",
            ADVICE,
        )
    for mode in modes(head):
        backward(head.train(mode)(_laid_out(case, requires_grad=True)))


def _laid_out(case: HeadCase, requires_grad: bool = False) -> dict[str, Features]:
    """Gives the features with other strides."""

    def lay_out(value: Tensor) -> Tensor:
        if value.ndim == 4:
            return value.contiguous(memory_format=torch.channels_last)
        wide = value.new_zeros(value.shape[0], value.shape[1] + 3)
        wide[:, 1:-2] = value
        return wide[:, 1:-2]

    features = case.features(requires_grad=requires_grad)
    laid_out: dict[str, Features] = pytree.tree_map_only(Tensor, lay_out, features)
    return laid_out


CHECKS: tuple[Check[HeadSubject], ...] = (memory_layout_is_free,)
