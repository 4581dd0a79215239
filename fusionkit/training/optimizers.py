"""Optimizers by name, torch's and timm's, over a model's own groups."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch.optim import Optimizer

from fusionkit.errors import ConfigError, OptionError, did_you_mean
from fusionkit.model.fused import FusedModel

__all__ = ["build_optimizer"]

TIMM = "timm/"
LOOKAHEAD = "lookahead_"
"""What timm takes before any name (arXiv:1907.08610)."""

DEFAULTS = {"sgd": {"momentum": 0.9}}
"""Where torch's own default is not what anybody wants for transfer."""

UNFIT = {
    "lbfgs": "takes one rate for all parameters, so it cannot keep the policies' rates",
    "sparseadam": "moves nothing but parameters with sparse gradients, which no branch has",
    "timm/adahessian": "needs gradients of gradients, which no training here computes",
}
"""Optimizers that would fail at a step, and why."""

FUSED_ON = frozenset({"cpu", "cuda"})


def build_optimizer(
    model: FusedModel,
    name: str = "adamw",
    *,
    lr: float,
    weight_decay: float = 0.0,
    fuse: bool = True,
    **options: Any,
) -> Optimizer:
    """Gives an optimizer over ``model.param_groups``, each group with its own rate.

    Args:
        model: whose parameters it moves; frozen ones too, which it skips until they thaw.
        name: a class of ``torch.optim``, such as ``"adamw"`` or ``"sgd"`` (with momentum 0.9
            unless told), or ``"timm/..."`` for one of timm's, such as ``"timm/lamb"``.
        lr: the base rate, which the head has.
        weight_decay: of the groups that decay.
        fuse: whether the fused implementation is taken where torch has one for the model's
            device. Take none where gradients are clipped under mixed precision: a fused step
            unscales them itself, so nobody can clip them before, and Lightning refuses to.
        options: the optimizer's own; ``fused`` or ``foreach`` among them decides before ``fuse``.

    Raises:
        ConfigError: there is no such optimizer, or it cannot be used here, with the cause.
        OptionError: it does not take an option.
    """
    if why := UNFIT.get(name.lower().replace(LOOKAHEAD, "", 1)):
        raise ConfigError(f"the optimizer {name!r} {why}; take for example 'adamw'")
    groups = model.param_groups(lr=lr, weight_decay=weight_decay)
    if name.lower().startswith(TIMM):
        return _build_timm(name[len(TIMM) :], groups, lr, options)
    known = _torch_optimizers()
    if name.lower() not in known:
        raise ConfigError(
            f"there is no optimizer {name!r:.80}.{did_you_mean(name, known)} There are those of "
            "torch.optim, such as 'adamw' and 'sgd', and timm's, such as 'timm/lamb'"
        )
    make = known[name.lower()]
    given = {**DEFAULTS.get(name.lower(), {}), **options}
    if fuse and not {"fused", "foreach"} & given.keys() and _can_fuse(make, model):
        given["fused"] = True
    return _call(make, name, groups, {"lr": lr, **given})


def _torch_optimizers() -> dict[str, Callable[..., Optimizer]]:
    found = vars(torch.optim).items()
    return {
        name.lower(): value
        for name, value in found
        if isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer
    }


def _build_timm(
    name: str, groups: list[dict[str, Any]], lr: float, options: dict[str, Any]
) -> Optimizer:
    optim: Any = import_module("timm.optim")  # which marks none of its names as exported
    known: list[str] = optim.list_optimizers()
    if name.lower().removeprefix(LOOKAHEAD) not in known:
        near = did_you_mean(name, known, TIMM)
        raise ConfigError(f"timm has no optimizer {name!r:.80}.{near}")
    return _call(optim.create_optimizer_v2, TIMM + name, groups, {"opt": name, "lr": lr, **options})


def _call(
    make: Callable[..., Optimizer], name: str, groups: list[dict[str, Any]], given: dict[str, Any]
) -> Optimizer:
    try:
        return make(groups, **given)
    except TypeError as error:
        known = inspect.signature(make).parameters
        wrong = next((key for key in given if key not in known), "")
        raise OptionError(
            f"the optimizer {name!r} was given options it cannot take: {error}."
            f"{did_you_mean(wrong, known)}"
        ) from error
    except (AssertionError, ImportError) as error:  # as timm says that a device or package lacks
        raise ConfigError(f"the optimizer {name!r} cannot be made here: {error}") from error
    except ValueError as error:
        raise ConfigError(f"the optimizer {name!r} refuses its options: {error}") from error


def _can_fuse(make: Callable[..., Optimizer], model: FusedModel) -> bool:
    if "fused" not in inspect.signature(make).parameters:
        return False
    parameters = list(model.parameters())
    devices = {parameter.device.type for parameter in parameters}
    floats = all(p.is_floating_point() and type(p) is torch.nn.Parameter for p in parameters)
    return floats and len(devices) == 1 and devices <= FUSED_ON
