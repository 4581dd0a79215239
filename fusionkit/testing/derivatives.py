"""Holds gradients against what a small move of all that learns changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

__all__ = ["untrue_gradients"]

STEPS = (2e-5, 2e-6)
"""How far tensors are moved to either side, as a part of their root mean square."""

BLURRED = 0.05
"""How far two moves may be apart, as a part of the length of what changed, for anything to be told.
"""

LEAST, TIMES = 5e-3, 4
"""How far off a gradient may be: such a part of that length, or so many times what the moves are
apart. Kinks part them, and what is computed in float32."""

LOOKS = 2
"""Along how many random directions of the answer it is held against the change."""

Ask = Callable[[], Mapping[str, Tensor]]


def untrue_gradients(ask: Ask, learning: Sequence[Tensor]) -> Iterator[tuple[str, float]]:
    """Gives the answers whose gradient is not how they change, and how far off that is.

    Nothing is said where two moves of unequal size do not agree about the change, as in a network
    that parts whatever is near.

    Args:
        ask: gives the answers, in float64, by name; the same each time.
        learning: leaves that the answers depend on, float64; they are moved, and put back but for
            rounding.
    """
    move = _Move(learning)
    far, near = (_changes(ask, move, step) for step in STEPS)
    for name, off in _errors(ask, move, near).items():
        apart = float((near[name] - far[name]).norm() / near[name].norm())
        if apart <= BLURRED and off > max(LEAST, TIMES * apart):
            yield name, off


class _Move:
    """A random direction for all that learns, as long as that is; it is drawn anew each time.

    To keep it would take as much memory as the parameters do.
    """

    def __init__(self, learning: Sequence[Tensor]) -> None:
        self.learning = [value for value in learning if value.numel()]
        self.sizes = [float(value.detach().square().mean().sqrt()) for value in self.learning]

    def directions(self) -> Iterator[Tensor]:
        """Gives that of each tensor."""
        generator = torch.Generator().manual_seed(0)
        for value, size in zip(self.learning, self.sizes, strict=True):
            drawn = torch.empty(value.shape, dtype=torch.float32).normal_(generator=generator)
            yield drawn.to(value.device, value.dtype).mul_(size)

    def by(self, step: float) -> None:
        """Moves them."""
        with torch.no_grad():
            for value, direction in zip(self.learning, self.directions(), strict=True):
                value.add_(direction, alpha=step)

    def along(self, gradients: Iterable[Tensor | None]) -> float:
        """Gives the change that gradients promise along the direction."""
        return sum(
            float((gradient * direction).sum())
            for gradient, direction in zip(gradients, self.directions(), strict=True)
            if gradient is not None
        )


def _changes(ask: Ask, move: _Move, step: float) -> dict[str, Tensor]:
    """Gives how fast each answer changes along the move."""
    with torch.no_grad():
        move.by(step)
        ahead = ask()
        move.by(-2 * step)
        behind = ask()
        move.by(step)
    return {name: (ahead[name] - behind[name]).detach() / (2 * step) for name in ahead}


def _errors(ask: Ask, move: _Move, changes: Mapping[str, Tensor]) -> dict[str, float]:
    """Gives how far the gradient of each answer is off, as a part of its change."""
    generator = torch.Generator().manual_seed(1)
    errors = {}
    with torch.enable_grad():
        for name, value in ask().items():
            length = float(changes[name].norm())
            if not value.requires_grad or not length:
                continue
            looks = (torch.randn(value.shape, generator=generator).to(value) for _ in range(LOOKS))
            errors[name] = max(
                abs(_promised(value, look, move) - float((look * changes[name]).sum())) / length
                for look in looks
            )
    return errors


def _promised(value: Tensor, look: Tensor, move: _Move) -> float:
    return move.along(
        torch.autograd.grad(value, move.learning, look, retain_graph=True, allow_unused=True)
    )
