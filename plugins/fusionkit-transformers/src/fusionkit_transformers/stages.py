"""From sections to stages that hold every parameter once, in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from fusionkit import Stage, cover_parameters
from fusionkit_transformers.layers import Section
from fusionkit_transformers.trace import Trace

__all__ = ["find_stages"]


def find_stages(
    model: nn.Module, sections: tuple[Section, ...], trace: Trace, classifier: frozenset[str]
) -> tuple[Stage, ...]:
    """Gives the stages: the stem, one for each section, the pooler, the classifier.

    What runs before the first layer is the stem. What runs between two layers goes with the
    later one, and the last norm with the last layer. What has a matrix and runs after the last
    layer is the pooler. Without sections the stages are left to be measured.

    Args:
        model: the trunk.
        sections: of the trunk.
        trace: of one of its runs.
        classifier: the parameters of the stock classifier.
    """
    if not sections:
        return ()
    sizes = {name: value.ndim for name, value in model.named_parameters()}
    homes = _homes(sections)
    blocks: dict[tuple[int, int], list[str]] = {place: [] for place in homes.values()}
    starts = {
        place: min((trace.runs[p].start for p, at in homes.items() if at == place), default=0)
        for place in blocks
    }
    stem: list[str] = []
    tail: list[str] = []
    spine = _spine(homes)
    for name in sizes:
        if name in classifier:
            continue
        use = _first_use(name, trace, spine)
        place = _place(name, use, homes, sections, starts)
        if place is None:
            (tail if use is None else stem).append(name)
        elif use is not None and place == max(starts) and _is_after(name, use, homes, trace):
            tail.append(name)
        else:
            blocks[place].append(name)
    if all(sizes[name] < 2 for name in tail):
        blocks[max(blocks)] += tail
        tail = []
    beside = _beside(model, trace, spine)
    first, end = starts[min(starts)], max(trace.runs[p].end for p in homes if p in trace.runs)
    early = [path for path, start in beside.items() if start <= first]
    late = [path for path, start in beside.items() if start >= end]
    stages = [Stage("stem", (*cover_parameters(stem, sizes), *early))] if stem else []
    for index, section in enumerate(sections):
        members = [
            tuple(cover_parameters(blocks[at], sizes)) for at in sorted(blocks) if at[0] == index
        ]
        covered = [block for block in members if block]
        if covered and index == len(sections) - 1 and not tail:
            covered[-1] += tuple(late)
        stages += [Stage(section.name, *covered)] if covered else []
    stages += [Stage("pooler", (*cover_parameters(tail, sizes), *late))] if tail else []
    last = [name for name in sizes if name in classifier]
    stages += [Stage("classifier", tuple(cover_parameters(last, sizes)))] if last else []
    return tuple(stages)


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _homes(sections: tuple[Section, ...]) -> dict[str, tuple[int, int]]:
    """Gives the place (section, block) of each layer by its path."""
    return {
        layer: (index, block)
        for index, section in enumerate(sections)
        for block, layer in enumerate(section.layers)
    }


def _beside(model: nn.Module, trace: Trace, spine: frozenset[str]) -> dict[str, int]:
    """Gives when modules without parameters run that lie in no stage by where they stand.

    A dropout of the embeddings may be written behind the layers, and would go with the last.
    """
    return {
        path: trace.runs[path].start
        for path, module in model.named_modules()
        if path in trace.runs
        and path not in spine
        and path.rpartition(".")[0] in spine
        and not any(True for _ in module.parameters())
    }


def _spine(homes: Iterable[str]) -> frozenset[str]:
    """Gives the modules that layers lie in, whose start says nothing of their other parts."""
    return frozenset(prefix for path in homes for prefix in _prefixes(path)) | {""}


def _first_use(name: str, trace: Trace, spine: frozenset[str]) -> int | None:
    """Gives when a parameter is first read, or else when the module that it lies in runs."""
    if name in trace.first_use:
        return trace.first_use[name]
    for prefix in reversed(_prefixes(name)):
        if prefix in spine:
            return None
        if prefix in trace.runs:
            return trace.runs[prefix].start + 1
    return None


def _place(
    name: str,
    use: int | None,
    homes: dict[str, tuple[int, int]],
    sections: tuple[Section, ...],
    starts: dict[tuple[int, int], int],
) -> tuple[int, int] | None:
    """Gives the block that a parameter goes with, or ``None`` for the stem or the tail."""
    for prefix in _prefixes(name):
        if prefix in homes:
            return homes[prefix]
    inside = [
        index
        for index, section in enumerate(sections)
        if section.root and name.startswith(f"{section.root}.")
    ]
    places = sorted(place for place in starts if not inside or place[0] == inside[0])
    if use is None:
        return places[0] if inside else None
    if inside and inside[0] == 0 and use <= starts[places[0]]:
        return None  # patches are made in the first stage, which is the stem all the same
    if inside:  # a part of a stage beside its layers, such as a downsampling
        later = [place for place in places if starts[place] >= use]
        return later[0] if later else places[-1]
    if use <= starts[places[0]]:
        return None
    later = [place for place in places if starts[place] >= use]
    return later[0] if later else places[-1]


def _is_after(name: str, use: int, homes: dict[str, tuple[int, int]], trace: Trace) -> bool:
    """Tells what is read only after the last layer, and lies in none."""
    if any(prefix in homes for prefix in _prefixes(name)):
        return False
    return use > max(trace.runs[path].end for path in homes if path in trace.runs)
