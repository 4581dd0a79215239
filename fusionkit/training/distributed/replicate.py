"""Parameters that each process keeps whole within a sharded model: the head's, and numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Variable

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

__all__ = ["replicate"]


def replicate(module: nn.Module, parameters: Iterable[nn.Parameter], mesh: DeviceMesh) -> None:
    """Keeps parameters whole on each process, and averages their gradients after each backward.

    ``module.parameters()`` gives tensors of the same kind as sharded ones, so that optimizers
    and gradient clipping see one kind; what the module computes with are the plain tensors over
    the same memory. So they can be read at any time and as often as need be, which the head's
    are, and may be single numbers, which cannot be sharded.

    Args:
        module: whose forward pass reads them.
        parameters: some or all of its parameters, equal on all processes, on the mesh's device.
        mesh: all processes.
    """
    from torch.distributed.tensor import DTensor, Replicate

    pairs: list[tuple[nn.Parameter, nn.Parameter]] = []
    for plain in parameters:
        placed = DTensor.from_local(plain.detach(), mesh, [Replicate()] * mesh.ndim)
        spread = nn.Parameter(placed, requires_grad=plain.requires_grad)
        for each in module.modules():
            for leaf, value in each._parameters.items():
                if value is plain:
                    each._parameters[leaf] = spread
                    vars(each)[leaf] = plain  # what is found first when it is read
        pairs.append((plain, spread))
    if pairs:
        _Averaging(pairs).watch(module)


class _Averaging:
    """Averages gradients over all processes when a backward pass ends."""

    def __init__(self, pairs: list[tuple[nn.Parameter, nn.Parameter]]) -> None:
        self._pairs = pairs
        self._queued = False

    def watch(self, module: nn.Module) -> None:
        module.register_forward_pre_hook(self._follow)
        for plain, _ in self._pairs:
            learns = plain.requires_grad
            plain.requires_grad_(True)  # without which no hook can be put on it
            plain.register_post_accumulate_grad_hook(self._queue)  # type: ignore[no-untyped-call]
            plain.requires_grad_(learns)

    def _follow(self, *_: Any) -> None:
        """Has the plain tensors learn where the policies let theirs learn."""
        for plain, spread in self._pairs:
            if plain.requires_grad != spread.requires_grad:
                plain.requires_grad_(spread.requires_grad)

    def _queue(self, _: Tensor) -> None:
        if not self._queued:
            self._queued = True
            Variable._execution_engine.queue_callback(self._average)

    @torch.no_grad()
    def _average(self) -> None:
        """Averages in one message per type; what no process has a gradient of keeps none."""
        self._queued = False
        kinds: dict[torch.dtype, list[tuple[nn.Parameter, nn.Parameter]]] = {}
        for plain, spread in self._pairs:
            if plain.requires_grad:
                kinds.setdefault(plain.dtype, []).append((plain, spread))
        for dtype, pairs in kinds.items():
            has = [plain.grad is not None for plain, _ in pairs]
            sums = torch.cat(
                [
                    torch.tensor(has, dtype=dtype, device=pairs[0][0].device),
                    *(
                        (plain.new_zeros(plain.shape) if plain.grad is None else plain.grad)
                        .to(dtype)
                        .flatten()
                        for plain, _ in pairs
                    ),
                ]
            )
            distributed.all_reduce(sums)
            anybody, means = sums[: len(pairs)], sums[len(pairs) :] / distributed.get_world_size()
            shares = torch.split(means, [plain.numel() for plain, _ in pairs])
            for (plain, spread), some, mean in zip(pairs, anybody.tolist(), shares, strict=True):
                plain.grad = None
                if some:
                    _add_gradient(spread, mean.view(plain.shape))


def _add_gradient(spread: nn.Parameter, mean: Tensor) -> None:
    from torch.distributed.tensor import DTensor

    assert isinstance(spread, DTensor)
    gradient = DTensor.from_local(mean, spread.device_mesh, spread.placements)
    spread.grad = gradient if spread.grad is None else spread.grad + gradient
