"""An optimizer's state under the names of the parameters, not their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fusionkit.errors import CheckpointError, ResumeError

__all__ = ["capture_optimizer", "group_names", "restore_optimizer"]

NOT_OPTIONS = ("params", "param_names", "name")


def capture_optimizer(model: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """Gives the options of each group, and the state and shape of each parameter by its name.

    Raises:
        CheckpointError: the optimizer has a parameter that the model has not.
    """
    packed = optimizer.state_dict()
    names = _names(model, optimizer)
    groups: dict[str, Any] = {}
    state: dict[str, Any] = {}
    shapes: dict[str, list[int]] = {}
    for title, group, live in zip(
        group_names(optimizer), packed["param_groups"], optimizer.param_groups, strict=True
    ):
        options = {key: value for key, value in group.items() if key not in NOT_OPTIONS}
        members = [names[id(parameter)] for parameter in live["params"]]
        groups[title] = {"params": members, "options": options}
        for name, place, parameter in zip(members, group["params"], live["params"], strict=True):
            shapes[name] = list(parameter.shape)
            if place in packed["state"]:
                state[name] = packed["state"][place]
    more = {key: value for key, value in packed.items() if key not in ("state", "param_groups")}
    return {
        "class": type(optimizer).__qualname__,
        "groups": groups,
        "state": state,
        "shapes": shapes,
        "more": more,
    }


def restore_optimizer(
    saved: Mapping[str, Any], model: nn.Module, optimizer: Optimizer, *, new_options: bool = False
) -> None:
    """Gives every parameter the state that was saved under its name, whatever its place now.

    Args:
        saved: what ``capture_optimizer`` gave.
        model: that the parameters are of.
        optimizer: to be given the state.
        new_options: whether the groups keep the options with which the optimizer was built,
            such as ``lr``; otherwise they get those that were saved.

    Raises:
        ResumeError: another kind of optimizer, other groups, parameters or shapes.
    """
    names = _names(model, optimizer)
    _check(saved, optimizer, names)
    packed = optimizer.state_dict()
    rates = [group.get("lr") for group in optimizer.param_groups]
    state = {}
    for title, group, live in zip(
        group_names(optimizer), packed["param_groups"], optimizer.param_groups, strict=True
    ):
        options = {} if new_options else saved["groups"][title]["options"]
        group.update({key: _own(value) for key, value in options.items()})
        for place, parameter in zip(group["params"], live["params"], strict=True):
            if names[id(parameter)] in saved["state"]:
                state[place] = _own(saved["state"][names[id(parameter)]])
    optimizer.load_state_dict({**packed, **saved["more"], "state": state})
    _fit_states(saved, optimizer, names)
    for rate, group in zip(rates, optimizer.param_groups, strict=True):
        if isinstance(rate, Tensor):  # the one that a compiled step reads
            group["lr"] = rate.fill_(float(group["lr"]))


def group_names(optimizer: Optimizer) -> list[str]:
    """Gives the groups' names, or their numbers as text where not each has a name of its own."""
    names = [group.get("name") for group in optimizer.param_groups]
    if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        return [str(name) for name in names]
    return [str(place) for place in range(len(names))]


def _names(model: nn.Module, optimizer: Optimizer) -> dict[int, str]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for title, group in zip(group_names(optimizer), optimizer.param_groups, strict=True):
        for parameter in group["params"]:
            if id(parameter) not in names:
                raise CheckpointError(
                    f"the optimizer's group {title!r:.80} has a parameter of shape "
                    f"{tuple(parameter.shape)} that the model has not, and so no name; put what "
                    "learns besides the model into one nn.ModuleDict with it"
                )
    return names


def _check(saved: Mapping[str, Any], optimizer: Optimizer, names: Mapping[int, str]) -> None:
    kind = type(optimizer).__qualname__
    if saved["class"] != kind:
        raise ResumeError(f"the state is that of {saved['class']}, and the optimizer is {kind}")
    now = dict(zip(group_names(optimizer), optimizer.param_groups, strict=True))
    _refuse_difference("groups", saved["groups"], now)
    for title, group in now.items():
        members = {names[id(parameter)]: parameter for parameter in group["params"]}
        _refuse_difference(
            f"parameters in its group {title!r:.80}", saved["groups"][title]["params"], members
        )
        for name, parameter in members.items():
            if saved["shapes"][name] != list(parameter.shape):
                raise ResumeError(
                    f"the optimizer's state of {name!r:.200} is for the shape "
                    f"{tuple(saved['shapes'][name])}, but the parameter has "
                    f"{tuple(parameter.shape)}"
                )


def _refuse_difference(what: str, saved: Any, now: Any) -> None:
    missing, added = sorted(set(saved) - set(now)), sorted(set(now) - set(saved))
    if missing or added:
        raise ResumeError(
            f"the optimizer has other {what} than when it was saved: it lacks "
            f"{', '.join(missing[:3]) or 'none'}, and has {', '.join(added[:3]) or 'none'} in "
            "addition; build model and optimizer as they were"
        )


def _own(value: Any) -> Any:
    """Gives a copy, so that the state can be put in twice, and a run does not write into it."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _own(each) for key, each in value.items()}
    return [_own(each) for each in value] if isinstance(value, list) else value


def _fit_states(saved: Mapping[str, Any], optimizer: Optimizer, names: Mapping[int, str]) -> None:
    """Undoes that torch casts states to the type of their parameter, which loses bits.

    And lays them in memory as their parameter lies, for fused optimizers, which count on that.
    """
    for parameter, state in _states(optimizer):
        for key, value in saved["state"].get(names[id(parameter)], {}).items():
            if not isinstance(value, Tensor):
                continue
            now = state[key]
            astray = now.shape == parameter.shape and now.stride() != parameter.stride()
            if astray or now.dtype != value.dtype:
                like = parameter.detach() if now.shape == parameter.shape else now
                state[key] = torch.empty_like(like, dtype=value.dtype, device=now.device)
                state[key].copy_(value)


def _states(optimizer: Optimizer) -> Iterator[tuple[torch.nn.Parameter, dict[str, Any]]]:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter in optimizer.state:
                yield parameter, optimizer.state[parameter]
