"""From whole weights and optimizer states to what each process holds of them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, distributed
from torch.optim import Optimizer

from fusionkit.errors import ResumeError
from fusionkit.model.fused import FusedModel
from fusionkit.processes import broadcast_object, rank, world
from fusionkit.training.distributed.gather import names_of

__all__ = ["scatter_optimizer", "scatter_weights"]


@torch.no_grad()
def scatter_weights(model: FusedModel, weights: Mapping[str, Tensor] | None) -> None:
    """Fills a model with whole weights, as ``gather_weights`` gave them; all have to call it.

    Args:
        model: sharded or not; its parameters stay the objects that they are.
        weights: by name, on rank 0; what other processes give is not looked at.

    Raises:
        ResumeError: names or shapes are not the model's, on all processes.
    """
    state = model.state_dict(keep_vars=True)
    wanted = {name: tuple(value.shape) for name, value in state.items()}
    problem = ""
    if rank() == 0:
        given = {name: tuple(value.shape) for name, value in (weights or {}).items()}
        differ = [name for name in {**wanted, **given} if wanted.get(name) != given.get(name)]
        if differ:
            problem = (
                f"{differ[0]!r:.200} has the shape {given.get(differ[0], 'nothing')} in the "
                f"weights, {wanted.get(differ[0], 'nothing')} in the model; compose it as it was"
            )
    if problem := broadcast_object(problem):
        raise ResumeError(problem)
    for name, value in state.items():
        whole = weights[name] if weights is not None and rank() == 0 else None
        value.copy_(_spread(whole, value.dtype, value))


def scatter_optimizer(
    model: FusedModel, optimizer: Optimizer, state: Mapping[str, Any] | None
) -> None:
    """Puts an optimizer's whole state back, as ``gather_optimizer`` gave it; all have to call it.

    The number of processes, and whether the model is sharded, may have changed since.

    Args:
        model: sharded or not.
        optimizer: made of the model's ``param_groups`` as it was when the state was gathered.
        state: on rank 0; what other processes give is not looked at.

    Raises:
        ResumeError: the state is of other groups or parameters, on all processes.
    """
    names = names_of(model, optimizer)
    parameters = dict(model.named_parameters())
    groups = [[names[id(each)] for each in group["params"]] for group in optimizer.param_groups]
    outline = broadcast_object(_outline(state) if rank() == 0 else None)
    if [group["params"] for group in outline["groups"]] != groups:
        raise ResumeError(
            "the optimizer's state was made for other parameter groups; build model and optimizer "
            "as they were when it was gathered"
        )
    index = {name: number for number, name in enumerate(chain.from_iterable(groups))}
    filled: dict[int, dict[str, Any]] = {}
    for name, kept in outline["state"].items():
        for key, value in kept.items():
            whole = state["state"][name][key] if state is not None and rank() == 0 else None
            told = value
            if isinstance(value, _Gap):
                told = _spread(whole, value.dtype, parameters[name], value.shape)
            filled.setdefault(index[name], {})[key] = told
    optimizer.load_state_dict(
        {
            "state": filled,
            "param_groups": [
                {**group, "params": [index[name] for name in group["params"]]}
                for group in outline["groups"]
            ],
        }
    )


class _Gap:
    """Stands for a tensor that is sent by itself."""

    def __init__(self, value: Tensor) -> None:
        self.shape = tuple(value.shape)
        self.dtype = value.dtype


def _outline(state: Mapping[str, Any] | None) -> dict[str, Any]:
    """Gives an optimizer's state with gaps in place of its tensors."""
    given = state or {"state": {}, "groups": []}
    return {
        "state": {
            name: {
                key: _Gap(value) if isinstance(value, Tensor) else value
                for key, value in kept.items()
            }
            for name, kept in given["state"].items()
        },
        "groups": list(given["groups"]),
    }


def _spread(
    whole: Tensor | None,
    dtype: torch.dtype,
    like: Tensor,
    shape: tuple[int, ...] | None = None,
) -> Tensor:
    """Gives what this process shall hold of a tensor that rank 0 has: a shard, or all of it.

    Args:
        whole: on rank 0.
        dtype: of it.
        like: the parameter or buffer whose device it goes to, and whose shards it gets if it has
            its shape.
        shape: of it; by default that of ``like``.
    """
    from torch.distributed.tensor import DTensor, distribute_tensor

    shape = tuple(like.shape) if shape is None else shape
    sent = torch.empty(shape, dtype=dtype, device=like.device)
    if whole is not None:
        sent.copy_(whole)
    if isinstance(like, DTensor) and shape == tuple(like.shape):
        return distribute_tensor(sent, like.device_mesh, like.placements, src_data_rank=0)
    if world() > 1:
        distributed.broadcast(sent, src=0)
    return sent.cpu()  # optimizers keep counts of steps there, and move the rest themselves
