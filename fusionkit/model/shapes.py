"""The shapes of schedules, by name or as any class of torch's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_schedulers
from torch.optim.lr_scheduler import LRScheduler

from fusionkit.errors import ConfigError, OptionError, did_you_mean

__all__ = ["SHAPES", "Shape", "build_shape", "choose_shape"]

Shape = Callable[..., LRScheduler]

SHAPES: Mapping[str, tuple[str, Mapping[str, Any], Mapping[str, str]]] = {
    # name: torch's class, our defaults, torch's name for total_steps
    "constant": ("ConstantLR", {"factor": 1.0, "total_iters": 0}, {}),
    "linear": (
        "LinearLR",
        {"start_factor": 1.0, "end_factor": 0.0},
        {"total_steps": "total_iters"},
    ),
    "step": ("StepLR", {}, {}),
    "multistep": ("MultiStepLR", {}, {}),
    "exponential": ("ExponentialLR", {}, {}),
    "polynomial": ("PolynomialLR", {}, {"total_steps": "total_iters"}),
    "cosine": ("CosineAnnealingLR", {}, {"total_steps": "T_max"}),
    "cosine_restarts": ("CosineAnnealingWarmRestarts", {}, {}),
    "one_cycle": ("OneCycleLR", {"max_lr": 1.0}, {"total_steps": "total_steps"}),
    "cyclic": ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0}, {}),
    "plateau": ("ReduceLROnPlateau", {}, {}),
}


def choose_shape(
    shape: str | Shape,
    total_steps: int | None,
    steps_per_epoch: int | None,
    options: Mapping[str, Any],
) -> tuple[Shape, dict[str, Any]]:
    """Gives the class of a shape and all options to call it with.

    Raises:
        ConfigError: there is no such shape, or it needs to know ``total_steps``.
    """
    chosen = dict(options)
    if not isinstance(shape, str):
        return shape, chosen if total_steps is None else {**chosen, "total_steps": total_steps}
    if shape not in SHAPES:
        raise ConfigError(
            f"there is no schedule {shape!r}.{did_you_mean(shape, SHAPES)} "
            f"There are {', '.join(SHAPES)}, or any class of torch.optim.lr_scheduler"
        )
    class_name, defaults, names = SHAPES[shape]
    length = names.get("total_steps")
    if length is not None and total_steps is not None:
        chosen.setdefault(length, total_steps)
    elif length is not None and not chosen.keys() & {length, "epochs"}:
        raise ConfigError(f"the schedule {shape!r} needs total_steps, the steps of the whole run")
    if shape == "one_cycle" and "epochs" in chosen and steps_per_epoch is not None:
        chosen.setdefault("steps_per_epoch", steps_per_epoch)
    return getattr(torch_schedulers, class_name), {**defaults, **chosen}


def build_shape(shape: Shape, shadow: Optimizer, options: Mapping[str, Any]) -> LRScheduler:
    """Builds a shape over an optimizer, with options that it is known to take.

    Raises:
        OptionError: names the option and near names.
        ConfigError: what was built is no scheduler over this optimizer.
    """
    name = getattr(shape, "__name__", type(shape).__name__)
    if not callable(shape):
        raise ConfigError(
            f"a schedule is a name or a class of torch.optim.lr_scheduler, got {name}; a function "
            "of the optimizer will do as well, a scheduler that is already built will not"
        )
    parameters = inspect.signature(shape).parameters
    try:
        inspect.signature(shape).bind(shadow, **options)
    except TypeError as error:
        wrong = next((key for key in options if key not in parameters), "")
        raise OptionError(
            f"{name} was given options it cannot take: {error}.{did_you_mean(wrong, parameters)}"
        ) from error
    built: object = shape(shadow, **options)
    if not isinstance(built, LRScheduler) or built.optimizer is not shadow:
        raise ConfigError(
            f"{name} must give a torch scheduler over the optimizer that it is called with, "
            f"got {type(built).__name__}"
        )
    return built
