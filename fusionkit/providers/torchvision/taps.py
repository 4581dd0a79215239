"""Hooks that take vector and maps out of a trunk's own forward pass, and keep nothing of it.

The hooks stay on the trunk for good and do nothing unless a backbone has opened a ``Pass`` in
the same thread, so that a trunk called by itself, copied or pickled is an ordinary one.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from fusionkit import Features, Reads

__all__ = ["ClassifierTap", "LevelTap", "run_tapped"]


class Pass:
    """What one forward pass is asked for, and what it has given so far."""

    def __init__(self, reads: Reads) -> None:
        self.reads = reads
        self.vector: Tensor | None = None
        self.maps: list[Tensor] = []

    def end_after(self, complete: bool) -> None:
        """Leaves the trunk as soon as all is there that was asked for."""
        # torch.export's default tracer loses its place when a module is left by an exception;
        # there the rest is traced, and lowering drops it as dead code.
        traced = torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling()
        if complete and not traced:
            raise _AllRead


class _AllRead(Exception):  # noqa: N818 - nothing went wrong
    """Everything that was asked for has been computed."""


class _Open(threading.local):
    """The pass that runs in this thread: replicas of one trunk may run in several."""

    current: Pass | None = None


_OPEN = _Open()


def run_tapped(trunk: nn.Module, x: Tensor, reads: Reads) -> Features:
    """Gives what ``reads`` asks for; layers behind the last that is needed do not run."""
    if not (reads.vector or reads.logits or reads.maps):
        return Features()
    taken = Pass(reads)
    logits: Tensor | None = None
    outer = _OPEN.current
    _OPEN.current = taken
    try:
        logits = trunk(x)
    except _AllRead:
        pass
    finally:
        _OPEN.current = outer
    return Features(
        vector=taken.vector if reads.vector else None,
        maps=tuple(taken.maps),
        logits=logits if reads.logits else None,
    )


@dataclass(frozen=True, slots=True)
class LevelTap:
    """A forward hook on the module whose output is the map of one level.

    Attributes:
        level: the index of the level.
        pattern: how the output lies in memory, as an einops pattern.
        grid: frames (for videos), height and width of the tokens; empty for maps.
        prefix: tokens before the first that belongs to a place, such as a class token.
        relu: whether the trunk rectifies the output only after the module.
    """

    level: int
    pattern: str
    grid: tuple[tuple[str, int], ...] = ()
    prefix: int = 0
    relu: bool = False

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        """Takes the map if the pass reads this level."""
        taken = _OPEN.current
        if taken is None or self.level not in taken.reads.maps:
            return
        taken.maps.append(self.to_map(output[0] if isinstance(output, tuple) else output))
        reads = taken.reads
        taken.end_after(self.level == reads.maps[-1] and not reads.vector and not reads.logits)

    def to_map(self, output: Tensor) -> Tensor:
        """Gives "b c h w"; frames are averaged."""
        if self.relu:
            output = torch.relu(output)
        if self.grid:
            output = output[:, self.prefix :]
        if "t" in self.pattern:
            return reduce(output, f"{self.pattern} -> b c h w", "mean", **dict(self.grid))
        if self.pattern == "b c h w":
            return output
        return rearrange(output, f"{self.pattern} -> b c h w", **dict(self.grid))


@dataclass(frozen=True, slots=True)
class ClassifierTap:
    """A forward pre-hook on the classifier, or on what stands in its place.

    What it is given is the vector: "b d", or for a convolution maps whose mean is it.
    """

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        """Takes the vector, and ends a pass that reads no logits."""
        taken = _OPEN.current
        if taken is None:
            return
        if taken.reads.vector:
            taken.vector = _pool(args[0])
        taken.end_after(not taken.reads.logits)


def _pool(x: Tensor) -> Tensor:
    if x.ndim == 4:
        return torch.nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
    return x.mean((2, 3, 4)) if x.ndim == 5 else x
