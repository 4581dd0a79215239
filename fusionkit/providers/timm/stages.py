"""From timm's grouping of parameters to stages in the order in which they run."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from torch import nn

from fusionkit import Stage, cover_parameters
from fusionkit.providers.timm.groups import group_blocks, group_stages

__all__ = ["find_stages"]


@dataclass(slots=True)
class _Unit:
    """A module or parameter that lies wholly in one group."""

    path: str
    group: Hashable
    names: list[str]
    start: int
    end: int
    size: int


@dataclass(slots=True)
class _Segment:
    """Units of one group that run one after another."""

    group: Hashable
    names: list[str] = field(default_factory=list)


def find_stages(
    model: nn.Module, first_use: Mapping[str, int], classifier: frozenset[str]
) -> tuple[Stage, ...]:
    """Gives stages that hold every parameter once, in the order in which they run.

    Stages are timm's coarse groups and blocks its fine ones. A group that runs in two places is
    two stages; what has no matrix, such as a last norm layer, goes with the stage before it.

    Args:
        model: the trunk, or its equal on the meta device.
        first_use: when each parameter is first read; unread ones are missing.
        classifier: the parameters of the classifier, which becomes a stage of its own.
    """
    sizes = {name: value.numel() for name, value in model.named_parameters()}
    flat = {name for name, value in model.named_parameters() if value.ndim < 2}
    last = classifier | {name for name in sizes if name not in first_use and classifier}
    names = [name for name in sizes if name not in last]
    coarse = group_stages(model, names, first_use)
    segments = _order(names, coarse, first_use, sizes)
    merged = [segments[0]]
    for segment in segments[1:]:
        if all(name in flat for name in segment.names):
            merged[-1].names += segment.names
        else:
            merged.append(segment)
    fine = group_blocks(model, names, coarse, first_use)
    stages: list[Stage] = []
    taken = {"stem", "classifier"}
    for index, segment in enumerate(merged):
        label = _label(segment.names, sizes, taken) if index else "stem"
        taken.add(label)
        blocks = _blocks(segment.names, fine, first_use, flat)
        stages.append(Stage(label, *(tuple(cover_parameters(block, sizes)) for block in blocks)))
    if last:
        ordered = [name for name in sizes if name in last]
        stages.append(Stage("classifier", tuple(cover_parameters(ordered, sizes))))
    return tuple(stages)


def _order(
    names: list[str],
    coarse: Mapping[str, Hashable],
    first_use: Mapping[str, int],
    sizes: Mapping[str, int],
) -> list[_Segment]:
    groups: dict[Hashable, list[str]] = {}
    for name in names:
        groups.setdefault(coarse[name], []).append(name)
    # A token that stands beside the modules says little about when its group runs.
    settled = [name for name in names if name in first_use and "." in name]
    units = [
        _unit(path, group, settled, first_use, sizes)
        for group, members in groups.items()
        for path in cover_parameters([name for name in members if name in set(settled)], settled)
    ]
    units = _split(units, settled, first_use, sizes)
    units.sort(key=lambda unit: unit.start)
    segments: list[_Segment] = []
    homes: dict[Hashable, _Segment] = {}
    guests = []
    for unit in units:
        if any(_is_guest(unit, host) for host in units):
            guests.append(unit)
            continue
        if not segments or segments[-1].group != unit.group:
            segments.append(_Segment(unit.group))
        segments[-1].names += unit.names
        homes.setdefault(unit.group, segments[-1])
    placed = {name for segment in segments for name in segment.names}
    for group, members in groups.items():
        home = homes.get(group) or segments[0 if any(n in first_use for n in members) else -1]
        home.names += [name for name in members if name not in placed]
    return segments


def _split(
    units: list[_Unit],
    settled: list[str],
    first_use: Mapping[str, int],
    sizes: Mapping[str, int],
) -> list[_Unit]:
    """Breaks up units in whose midst larger ones run, such as a list of norms."""
    result: list[_Unit] = []
    pending = list(units)
    while pending:
        unit = pending.pop()
        inside = sum(
            other.size
            for other in units
            if other.group != unit.group and unit.start < other.start and other.end < unit.end
        )
        children = list(dict.fromkeys(_child(name, unit.path) for name in unit.names))
        if inside <= unit.size or children == [unit.path]:
            result.append(unit)
        else:
            pending += [_unit(path, unit.group, settled, first_use, sizes) for path in children]
    return result


def _is_guest(unit: _Unit, host: _Unit) -> bool:
    """Tells a part that is first read in the midst of a larger one of another group."""
    return host.group != unit.group and host.start < unit.start < host.end and host.size > unit.size


def _unit(
    path: str,
    group: Hashable,
    settled: list[str],
    first_use: Mapping[str, int],
    sizes: Mapping[str, int],
) -> _Unit:
    names = [name for name in settled if name == path or name.startswith(path + ".")]
    uses = [first_use[name] for name in names]
    return _Unit(path, group, names, min(uses), max(uses), sum(sizes[name] for name in names))


def _blocks(
    names: list[str], fine: Mapping[str, Hashable], first_use: Mapping[str, int], flat: set[str]
) -> list[list[str]]:
    blocks: dict[Hashable, list[str]] = {}
    for name in names:
        blocks.setdefault(fine[name], []).append(name)

    def start(block: list[str]) -> int:
        settled = [first_use[name] for name in block if name in first_use and "." in name]
        return min(settled, default=0)

    merged: list[list[str]] = []
    beside: list[str] = []
    for block in sorted(blocks.values(), key=start):
        if not all(name in flat for name in block):
            merged.append(beside + block)
            beside = []
        elif merged:
            merged[-1] += block
        else:
            beside += block
    return merged or [beside]


def _label(names: list[str], sizes: Mapping[str, int], taken: set[str]) -> str:
    """Gives a segment's name: the path that its larger parts share, or that of the largest."""
    paths = cover_parameters(names, sizes)
    weights = {path: sum(sizes[name] for name in names if _within(name, path)) for path in paths}
    total = sum(weights.values())
    large = [path for path in paths if weights[path] * 10 >= total] or paths
    shared = large[0].split(".")
    for path in large[1:]:
        parts = path.split(".")
        agree = 0
        while agree < min(len(shared), len(parts)) and shared[agree] == parts[agree]:
            agree += 1
        shared = shared[:agree]
    prefix = ".".join(shared)
    whole = sum(size for name, size in sizes.items() if _within(name, prefix))
    largest = max(paths, key=lambda path: weights[path])
    candidates = [prefix] if prefix and 10 * total >= 9 * whole else []
    candidates += [large[0], largest, *(f"{largest}_{count}" for count in range(2, 100))]
    return next(candidate for candidate in candidates if candidate not in taken)


def _within(name: str, path: str) -> bool:
    return name == path or name.startswith(path + ".")


def _child(name: str, path: str) -> str:
    rest = name[len(path) + 1 :].partition(".")[0]
    return f"{path}.{rest}" if rest else path
