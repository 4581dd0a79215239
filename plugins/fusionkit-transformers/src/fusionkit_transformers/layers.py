"""Finds the layers of a model: the lists of modules that are its depth."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from fusionkit_transformers.trace import Trace

__all__ = ["Section", "find_sections"]

LEAST_SHARE = 0.5
"""Of the parameters that are not embeddings; fewer are not the depth of the model."""


@dataclass(frozen=True, slots=True)
class Section:
    """Layers that belong together: one of a transformer, a stage of a hierarchical network.

    Attributes:
        name: of the stage that it becomes.
        root: the module that holds all of it, or the layer itself.
        layers: the paths of its layers, in the order in which they run.
    """

    name: str
    root: str
    layers: tuple[str, ...]


def find_sections(model: nn.Module, trace: Trace) -> tuple[Section, ...]:
    """Gives the sections of a model in the order in which they run; none where it has no depth.

    The list of modules with the most parameters is the depth. Where what its members give
    differs in shape, and the members are lists of layers themselves, they are the stages of a
    hierarchical network; where they are layers, those of one shape in a row are a stage.
    """
    outer = _largest(model, "")
    if outer is None or _count(model, outer) < LEAST_SHARE * _weight(model):
        return ()
    members = _members(model, outer)
    inner = {member: _layers(model, member) for member in members}
    shapes = {member: _last_shape(trace, (*inner[member], member)) for member in members}
    members = [member for member in members if shapes[member]]
    if not members:
        return ()
    members.sort(key=lambda member: _start(trace, (member, *inner[member])))
    given = {trace.runs[member].shape for member in members if member in trace.runs}
    if len(given | set(shapes.values())) == 1 and members[0] in trace.runs:
        return tuple(
            Section(f"layer{index}", member, (member,)) for index, member in enumerate(members)
        )
    if all(inner[member] for member in members):
        return tuple(
            Section(f"stage{index}", member, tuple(inner[member]))
            for index, member in enumerate(members)
        )
    runs: list[list[str]] = []
    for member in members:
        if not runs or shapes[runs[-1][-1]] != shapes[member]:
            runs.append([])
        runs[-1].append(member)
    return tuple(Section(f"stage{index}", "", tuple(members)) for index, members in enumerate(runs))


def _largest(model: nn.Module, root: str) -> str | None:
    """Gives the outermost list under ``root`` that holds the most parameters."""
    prefix = f"{root}." if root else ""
    lists = [
        path
        for path, module in model.named_modules()
        if path != root
        and path.startswith(prefix)
        and isinstance(module, nn.ModuleList | nn.Sequential)
        and _count(model, path)
    ]
    outermost = [path for path in lists if not any(path.startswith(f"{other}.") for other in lists)]
    return max(outermost, key=lambda path: _count(model, path), default=None)


def _layers(model: nn.Module, member: str) -> list[str]:
    """Gives the layers in one member of the outer list; none where it is itself a layer."""
    module = model.get_submodule(member)
    if isinstance(module, nn.ModuleList | nn.Sequential):
        return _members(model, member)
    found = _largest(model, member)
    if found is None or _count(model, found) < LEAST_SHARE * _count(model, member):
        return []
    return _members(model, found)


def _members(model: nn.Module, path: str) -> list[str]:
    children = model.get_submodule(path).named_children()
    return [f"{path}.{name}" for name, child in children if any(True for _ in child.parameters())]


def _count(model: nn.Module, path: str) -> int:
    return sum(value.numel() for value in model.get_submodule(path).parameters())


def _weight(model: nn.Module) -> int:
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    return sum(value.numel() for value in model.parameters() if id(value) not in tables)


def _last_shape(trace: Trace, paths: tuple[str, ...]) -> tuple[int, ...]:
    """Gives the shape that the last of some layers gives, which a downsampling may follow."""
    ran = [trace.runs[path] for path in paths[:-1] if path in trace.runs]
    ran = ran or [trace.runs[path] for path in paths[-1:] if path in trace.runs]
    return max(ran, key=lambda run: run.end).shape if ran else ()


def _start(trace: Trace, paths: tuple[str, ...]) -> int:
    return min(trace.runs[path].start for path in paths if path in trace.runs)
