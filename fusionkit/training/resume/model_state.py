"""A model's parameters and buffers, those that no checkpoint holds included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.errors import CheckpointError, ResumeError
from fusionkit.model.fused import FusedModel
from fusionkit.tensors.refresh import drop_old_tables
from fusionkit.tensors.state import nonfinite_problem

__all__ = ["capture_model", "inner_model", "replay_freeze", "restore_model"]


def inner_model(model: nn.Module) -> nn.Module:
    """Gives the model inside of what torch wraps around one for compiling or many processes.

    Names are then the same whether a run is compiled or distributed, or not.
    """
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        if isinstance(model, parallel):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]
        else:
            return model


def capture_model(model: nn.Module) -> dict[str, Any]:
    """Gives the model's state, its other buffers, and what it has thawed. No tensor is copied.

    Raises:
        CheckpointError: a value is not finite, so that what was saved before is worth more.
    """
    for name, parameter in model.named_parameters():
        problem = nonfinite_problem(parameter, is_parameter=True)
        if problem:
            raise CheckpointError(
                f"the run is not saved: {name!r:.200} {problem}, so its training has diverged; go "
                "back to what was saved before, with a lower learning rate"
            )
    state = dict(model.state_dict())
    buffers = {name: buffer for name, buffer in model.named_buffers() if name not in state}
    captured: dict[str, Any] = {"state": state, "buffers": buffers}
    if isinstance(model, FusedModel):
        captured["epoch"] = model.epoch
        captured["thaws"] = model.thaws
    return captured


def replay_freeze(saved: Mapping[str, Any], model: nn.Module) -> None:
    """Freezes and thaws what was frozen and thawed when the model was saved."""
    if isinstance(model, FusedModel) and "epoch" in saved:
        model.set_epoch(saved["epoch"], saved["thaws"])


def restore_model(saved: Mapping[str, Any], model: nn.Module) -> None:
    """Copies all values in, after comparing names, shapes and types.

    Raises:
        ResumeError: they differ; nothing has been copied then.
    """
    now = model.state_dict()
    missing = sorted(saved["state"].keys() - now.keys())
    added = sorted(now.keys() - saved["state"].keys())
    if missing or added:
        raise ResumeError(
            "the model is another than the one that was saved: it has not "
            f"{', '.join(missing[:3]) or 'less'}, but {', '.join(added[:3]) or 'no more'}"
        )
    for name, value in saved["state"].items():
        if isinstance(value, Tensor) and _kind(value) != _kind(now[name]):
            raise ResumeError(
                f"{name!r:.200} was saved as {_kind(value)}, but is {_kind(now[name])} in the model"
            )
    model.load_state_dict(saved["state"])
    _restore_buffers(saved["buffers"], model)
    drop_old_tables(model)


def _restore_buffers(saved: Mapping[str, Tensor], model: nn.Module) -> None:
    there = dict(model.named_buffers())
    device = next((value.device for value in model.parameters()), torch.device("cpu"))
    for name, value in saved.items():
        if name in there and _kind(there[name]) == _kind(value):
            there[name].copy_(value)
        else:  # made, or made larger, while the model ran
            path, _, leaf = name.rpartition(".")
            model.get_submodule(path).register_buffer(
                leaf, value.detach().clone().to(device), persistent=False
            )


def _kind(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
