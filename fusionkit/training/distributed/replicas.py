"""``check_replicas``: whether all processes hold the same policies and the same weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, distributed

from fusionkit.checkpoint.config import backbone_of
from fusionkit.errors import DistributedError
from fusionkit.model.fused import FusedModel
from fusionkit.model.modes import plan_modes
from fusionkit.processes import tell_all, world

__all__ = ["check_replicas", "is_sharded", "share_buffers"]


def check_replicas(model: FusedModel, *, weights: bool = True) -> None:
    """Makes sure that all processes hold the same model; all of them have to call it.

    Compared are the policies of each branch, the epoch, what learns, and the bits of all
    parameters and of the buffers of what is frozen. Buffers of what learns are left out: norm
    statistics follow the samples that each process sees. What is sharded exists only once.

    Args:
        model: on any device; sharded or not.
        weights: whether tensors are compared, which reads each of them once.

    Raises:
        DistributedError: names the rank, the branch and the first that differs, on all processes.
    """
    if world() == 1:
        return
    policies = tell_all(_policies(model))
    if found := _first_difference(policies):
        other, what = found
        raise DistributedError(
            f"rank {other} does not train the model of rank 0: {what} is "
            f"{policies[other].get(what)!r:.200} there, {policies[0].get(what)!r:.200} on rank 0; "
            "compose the same on all processes, and decide thaws from metrics that agree() gave"
        )
    if not weights:
        return
    digests = {name: _digest(value) for name, value in _replicated(model)}
    whole = hashlib.sha256(repr(list(digests.items())).encode()).hexdigest()
    if len(set(tell_all(whole))) == 1:
        return
    if found := _first_difference(tell_all(digests)):
        other, what = found
        raise DistributedError(
            f"{_owner(what)} of rank {other} is not that of rank 0; wrap the model with "
            "wrap_data_parallel, change weights by the optimizer only, and load the same "
            "on all processes"
        )


def share_buffers(model: FusedModel) -> None:
    """Gives all processes the buffers of rank 0; all of them have to call it.

    Norm statistics of what learns follow the samples that each process sees. What
    ``wrap_data_parallel`` gave does this at each forward pass; a sharded model needs it before
    it is evaluated on several processes.
    """
    if world() == 1:
        return
    with torch.no_grad():
        for buffer in model.buffers():
            distributed.broadcast(buffer, src=0)


def is_sharded(value: Tensor) -> bool:
    """Tells a tensor of which each process holds a part."""
    from torch.distributed.tensor import DTensor

    return isinstance(value, DTensor)


def _policies(model: FusedModel) -> dict[str, Any]:
    """Gives what decides who learns, by branch and question."""
    said: dict[str, Any] = {"epoch": model.epoch, "branches": sorted(model.parts)}
    for name, part in model.parts.items():
        said[f"{name}: freeze"] = repr(part.branch.freeze)
        said[f"{name}: lr"] = repr(part.branch.lr)
        said[f"{name}: thaws"] = part.thaws
        said[f"{name}: learns"] = sorted(part.learning(model.epoch))
    return said


def _replicated(model: FusedModel) -> Iterator[tuple[str, Tensor]]:
    """Gives the parameters, and the buffers of what is frozen, as far as each process has all."""
    still = {
        id(buffer)
        for name, part in model.parts.items()
        for module, trains in plan_modes(
            backbone_of(model, name), part, part.learning(model.epoch)
        ).items()
        for buffer in module.buffers(recurse=False)
        if not trains
    }
    buffers = ((name, each) for name, each in model.named_buffers() if id(each) in still)
    for name, value in chain(model.named_parameters(), buffers):
        if not is_sharded(value):
            yield name, value


def _digest(value: Tensor) -> str:
    plain = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(plain.numpy().tobytes()).hexdigest() + f" {tuple(value.shape)}"


def _first_difference(told: list[dict[str, Any]]) -> tuple[int, str] | None:
    """Gives the first rank that did not answer as rank 0, and the first name that differs."""
    for other, answers in enumerate(told):
        for name in dict.fromkeys(chain(told[0], answers)):
            if answers.get(name) != told[0].get(name):
                return other, name
    return None


def _owner(name: str) -> str:
    """Gives the words for a tensor: its branch, or the head, and its name in there."""
    home, _, path = name.partition(".")
    if home == "branches":
        branch, _, path = path.partition(".")
        return f"branch {branch!r}: {path!r}"
    return f"{home}: {path!r}"
