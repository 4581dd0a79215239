"""Moves a module off its initial values, which hide faults."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["perturb"]

NOISE = 0.05
SMALL = 0.02


def perturb(module: nn.Module, seed: int = 0) -> None:
    """Adds noise to every parameter and gives norms statistics that were not their first.

    Zero biases, unit norms and untouched running statistics make wrong wiring, stale caches and
    wrong modes give right answers. The noise is small beside what is there, so that deep networks
    stay finite.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(like: torch.Tensor) -> torch.Tensor:
        drawn = torch.empty(like.shape, dtype=torch.float32).normal_(generator=generator)
        return drawn.to(like.device, like.dtype)

    with torch.no_grad():
        for value in module.parameters():
            if value.is_floating_point() and not value.is_meta and value.numel():
                scale = float(value.detach().square().mean().sqrt())
                value.add_(noise(value), alpha=NOISE * scale or SMALL)
        for name, buffer in module.named_buffers():
            if buffer.is_meta or not buffer.is_floating_point():
                continue
            if name.endswith("running_mean"):
                buffer.add_(noise(buffer), alpha=0.1)
            elif name.endswith("running_var"):
                buffer.mul_(1 + 0.2 * noise(buffer).abs())
