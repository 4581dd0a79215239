"""Small smooth problems, solved in float64."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["minimise"]


def minimise(loss: Callable[[Tensor], Tensor], start: Tensor, *, steps: int = 300) -> Tensor:
    """Gives where a smooth loss is smallest, by L-BFGS from ``start``.

    Of one that is not convex that is a smallest value near there.

    Args:
        loss: gives one number for a tensor of the shape of ``start``.
        start: in float64.
        steps: after how many it ends at the latest.
    """
    found = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [found],
        max_iter=steps,
        tolerance_grad=1e-7,
        tolerance_change=1e-12,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def measure() -> Tensor:
        optimizer.zero_grad()
        value = loss(found)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(measure)  # type: ignore[no-untyped-call, unused-ignore]
    return found.detach()
