"""Whether gradients say how the answer changes with the parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from fusionkit.backbone.contract import Backbone
from fusionkit.testing.backbones.forward.compare import named
from fusionkit.testing.backbones.forward.steadiness import require_steady
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check

__all__ = ["gradients_are_derivatives"]

STEPS = (2e-5, 2e-6)
"""How far parameters are moved to either side, as a part of their root mean square."""

BLURRED = 0.05
"""How far two moves may be apart, as a part of the length of what changed, for anything to be told.
"""

LEAST, TIMES = 1e-3, 4
"""How far off a gradient may be: such a part of that length, or so many times what the moves are
apart. Kinks part them, and what is computed in float32."""

TOLD = "runs_in_double_precision says what is wrong"

LOOKS = 2
"""Along how many random directions of the answer it is held against the change."""


@check("let autograd see all of forward", slow=True)
def gradients_are_derivatives(subject: BackboneSubject) -> Iterator[Finding]:
    """In eval mode, gradients are how vector and maps change with the parameters.

    Nothing is said where two moves of unequal size do not agree about that change, as in a network
    that parts whatever is near.
    """
    require_steady(subject)
    backbone = subject.copy().double()
    x = pytree.tree_map_only(Tensor, _doubled, subject.example())
    try:
        answer = named(subject.run(backbone, x), subject.reads)
    except Exception as error:  # a stranger's forward raises what it likes
        raise NotApplicableError(TOLD) from error
    if any(value.dtype != torch.float64 for value in answer.values()):
        raise NotApplicableError(TOLD)
    move = _Move(backbone)
    far, near = (_changes(subject, backbone, x, move, step) for step in STEPS)
    for name, off in _errors(subject, backbone, x, move, near).items():
        apart = float((near[name] - far[name]).norm() / near[name].norm())
        if apart <= BLURRED and off > max(LEAST, TIMES * apart):
            yield Finding(
                f"the gradient of the {name} is not how it changes with the parameters: along a "
                f"random direction it is off by {off:.2g} of the change",
                "detach nothing that depends on parameters, not in part either, and give a "
                "torch.autograd.Function the derivative of what it does; if it is meant to differ, "
                "as straight-through rounding is, name this check in expected_failures",
            )


def _doubled(value: Tensor) -> Tensor:
    return value.double() if value.is_floating_point() else value


class _Move:
    """A random direction for all that learns, as long as that is; it is drawn anew each time.

    To keep it would take as much memory as the parameters do.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.learning = [
            value
            for value in backbone.parameters()
            if value.requires_grad and value.is_floating_point() and value.numel()
        ]
        self.sizes = [float(value.detach().square().mean().sqrt()) for value in self.learning]

    def directions(self) -> Iterator[Tensor]:
        """Gives that of each parameter."""
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


def _changes(
    subject: BackboneSubject, backbone: Backbone, x: Any, move: _Move, step: float
) -> dict[str, Tensor]:
    """Gives how fast each output changes along the move."""
    move.by(step)
    ahead = named(subject.run(backbone, x), subject.reads)
    move.by(-2 * step)
    behind = named(subject.run(backbone, x), subject.reads)
    move.by(step)
    return {name: (ahead[name] - behind[name]).detach() / (2 * step) for name in ahead}


def _errors(
    subject: BackboneSubject,
    backbone: Backbone,
    x: Any,
    move: _Move,
    changes: Mapping[str, Tensor],
) -> dict[str, float]:
    """Gives how far the gradient of each output is off, as a part of its change."""
    generator = torch.Generator().manual_seed(1)
    errors = {}
    with torch.enable_grad():
        answer = named(backbone(x, subject.reads), subject.reads)
        for name, value in answer.items():
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
