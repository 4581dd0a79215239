"""Which parameters timm takes together, as stages and as blocks."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Hashable, Mapping

from torch import nn

__all__ = ["group_blocks", "group_stages"]


def group_stages(
    model: nn.Module, names: list[str], first_use: Mapping[str, int]
) -> dict[str, Hashable]:
    """Gives the group of each parameter at the depth of stages.

    Where timm has no matcher of that depth, the modules that its feature maps come from are the
    stages, and what runs between two of them goes with the later one.
    """
    return _match(model, names, coarse=True) or _by_feature_modules(model, names, first_use)


def group_blocks(
    model: nn.Module,
    names: list[str],
    stages: Mapping[str, Hashable],
    first_use: Mapping[str, int],
) -> dict[str, Hashable]:
    """Gives the group of each parameter at the depth of blocks."""
    return _match(model, names, coarse=False) or _by_containers(model, names, stages, first_use)


def _match(model: nn.Module, names: list[str], *, coarse: bool) -> dict[str, Hashable] | None:
    from timm.models import group_parameters

    if not hasattr(model, "group_matcher"):
        return None
    try:
        matcher = model.group_matcher(coarse=coarse)  # type: ignore[operator]
    except AssertionError:  # a family that groups at one depth only
        return None
    groups: dict[str, int] = group_parameters(model, matcher, reverse=True)
    return {name: groups[name] for name in names}


def _by_feature_modules(
    model: nn.Module, names: list[str], first_use: Mapping[str, int]
) -> dict[str, Hashable]:
    modules = dict(model.named_modules())
    entries: list[dict[str, str]] = list(model.feature_info)  # type: ignore[arg-type]
    paths = [entry["module"] for entry in entries]
    paths = [path for path in dict.fromkeys(paths) if path and path in modules]
    uses = {
        path: [first_use[name] for name in names if _within(name, path) and name in first_use]
        for path in paths
    }
    paths = sorted((path for path in paths if uses[path]), key=lambda path: min(uses[path]))
    starts = [min(uses[path]) for path in paths]
    groups: dict[str, Hashable] = {}
    for name in names:
        owner = next((index for index, path in enumerate(paths) if _within(name, path)), None)
        if owner is not None:
            groups[name] = owner
            continue
        use = first_use.get(name, 0)
        later = bisect(starts, use)
        groups[name] = later if later else -1
    return groups


def _by_containers(
    model: nn.Module,
    names: list[str],
    stages: Mapping[str, Hashable],
    first_use: Mapping[str, int],
) -> dict[str, Hashable]:
    """Groups by the children of each stage's largest list of modules."""
    sizes = {name: value.numel() for name, value in model.named_parameters()}
    containers = {
        path: sum(sizes[name] for name in names if _within(name, path))
        for path, module in model.named_modules()
        if isinstance(module, nn.Sequential | nn.ModuleList) and len(module) > 1
    }
    groups: dict[str, Hashable] = {}
    for stage in dict.fromkeys(stages[name] for name in names):
        members = [name for name in names if stages[name] == stage]
        own = [
            path for path in containers if all(n in set(members) for n in names if _within(n, path))
        ]
        largest = max(own, key=lambda path: containers[path], default="")
        block = ""
        for name in sorted(members, key=lambda name: first_use.get(name, 0)):
            if largest and _within(name, largest):
                block = name[len(largest) + 1 :].split(".")[0]
            # what runs before, between or after the list's modules goes with the one before it
            groups[name] = (stage, block or "0")
    return groups


def _within(name: str, path: str) -> bool:
    return name == path or name.startswith(path + ".")
