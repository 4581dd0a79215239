"""What must be as it was for a run to go on, and what of it has changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

import fusionkit
from fusionkit.errors import ConfigError, ResumeError, did_you_mean
from fusionkit.model.fused import FusedModel
from fusionkit.processes import world
from fusionkit.recipe.form import recipe_to_data
from fusionkit.recipe.plain import copy_plain
from fusionkit.training.resume.optimizer_state import group_names

__all__ = ["compare_settings", "flatten", "is_allowed", "run_settings", "versions"]

OWN = ("optimizer", "recipe", "versions", "world_size")
DRIVEN = ("initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum")
CYCLED = ("betas", "momentum")
NOT_OPTIONS = ("name", "params", "param_names")


def run_settings(
    model: nn.Module,
    optimizer: Optimizer,
    scheduler: object | None,
    settings: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Gives the run's own settings with what is known besides: recipe, optimizer, versions, ranks.

    Of the optimizer it is the options that it was built with. A group's ``lr`` is the one before
    any schedule, its ``initial_lr``.

    Raises:
        ConfigError: a setting has a name that is taken, or is no plain data.
    """
    taken = sorted(set(OWN) & set(settings or ()))
    if taken:
        raise ConfigError(f"settings: {taken[0]!r} is noted anyway; choose another name")
    return {
        **copy_plain(dict(settings or {}), "settings"),
        "optimizer": _optimizer_settings(optimizer, scheduler),
        "recipe": recipe_to_data(model.recipe) if isinstance(model, FusedModel) else None,
        "versions": versions(),
        "world_size": world(),
    }


def versions() -> dict[str, str]:
    """Gives the versions that decide a run's bits."""
    return {"fusionkit": fusionkit.__version__, "torch": str(torch.__version__)}


def compare_settings(
    saved: Mapping[str, Any], now: Mapping[str, Any], allow: Collection[str]
) -> tuple[str, ...]:
    """Gives in words what has changed, all of it allowed.

    Args:
        saved: what ``run_settings`` gave when the run was saved.
        now: and what it gives now.
        allow: what may have changed: names of settings, or parts of one, such as
            ``"batch_size"`` or ``"versions.torch"``.

    Raises:
        ResumeError: lists what has changed and is not allowed to.
        ConfigError: ``allow`` names what is no setting.
    """
    before, after = dict(flatten(saved)), dict(flatten(now))
    names = list(dict.fromkeys([*before, *after]))
    for each in [allow] if isinstance(allow, str) else allow:
        if isinstance(allow, str) or not any(is_allowed(name, [each]) for name in names):
            raise ConfigError(
                f"allow is a list of settings that may have changed, and {each!r:.80} is none."
                f"{did_you_mean(str(each), [*names, *saved, *now])}"
            )
    nothing = "not there"
    changed = {
        name: f"{name}: {before.get(name, nothing)!r:.80} when it was saved, "
        f"{after.get(name, nothing)!r:.80} now"
        for name in names
        if name not in before or name not in after or before[name] != after[name]
    }
    refused = [said for name, said in changed.items() if not is_allowed(name, allow)]
    if refused:
        more = f" (and {len(refused) - 10} more)" if len(refused) > 10 else ""
        first = next(name for name in changed if not is_allowed(name, allow)).partition(".")[0]
        raise ResumeError(
            "the run cannot go on to the same end, since its settings have changed:\n  "
            + "\n  ".join(refused[:10])
            + f"{more}\nset them back, or allow it: allow=[{first!r}, ...]"
        )
    return tuple(changed.values())


def is_allowed(name: str, allow: Collection[str]) -> bool:
    """Tells whether a setting, or one that it is part of, may have changed."""
    return any(name == each or name.startswith(f"{each}.") for each in allow)


def _optimizer_settings(optimizer: Optimizer, scheduler: object | None) -> dict[str, Any]:
    shape = getattr(scheduler, "shape", scheduler)
    left_out = {*NOT_OPTIONS, *DRIVEN, *(CYCLED if _cycles(shape) else ())}
    groups = {}
    for title, group in zip(group_names(optimizer), optimizer.param_groups, strict=True):
        options = {key: value for key, value in group.items() if key not in left_out}
        options["lr"] = group.get("initial_lr", group.get("lr"))
        groups[title] = {key: _plain(value) for key, value in options.items()}
    return {"class": type(optimizer).__qualname__, "groups": groups}


def _cycles(shape: object) -> bool:
    return bool(getattr(shape, "cycle_momentum", False))


def _plain(value: Any) -> Any:
    """Gives what can be written and compared: numbers for tensors, text for what is none."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Gives every setting by the dotted path of its keys."""
    if isinstance(value, Mapping) and (value or not path):
        for key, each in value.items():
            yield from flatten(each, f"{path}.{key}" if path else str(key))
    else:
        yield path, list(value) if isinstance(value, tuple) else value
