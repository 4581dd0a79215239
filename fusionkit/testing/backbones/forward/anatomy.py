"""Whether stages hold every parameter once, in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from torch import nn

from fusionkit.backbone.contract import Backbone
from fusionkit.errors import AssemblyError, did_you_mean
from fusionkit.model.anatomy import read_anatomy, trunk_of
from fusionkit.policy.slots import Anatomy
from fusionkit.testing.backbones.statistics import moves_statistics
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.words import some

__all__ = [
    "every_parameter_is_in_one_block",
    "has_several_stages",
    "stages_run_in_order",
    "tell_misplaced",
]

MANY_LAYERS = 8


@check("set trunk_path to the submodule that holds all parameters, or leave it out", on_meta=True)
def every_parameter_is_in_one_block(subject: BackboneSubject) -> Iterator[Finding]:
    """Every parameter of the trunk is in exactly one block of exactly one stage."""
    backbone = subject.pristine
    trunk = trunk_of(backbone)
    findings = [*_outside(backbone, trunk), *_names(backbone), *tell_misplaced(backbone)]
    yield from findings
    if not findings:
        read_anatomy(backbone)


@check("give `stages` a fusionkit.Stage for each part that can thaw on its own", on_meta=True)
def has_several_stages(subject: BackboneSubject) -> Iterator[Finding]:
    """A trunk of many layers has more than one stage, so that it can thaw step by step."""
    backbone = subject.pristine
    layers = sum(
        any(value.ndim > 1 for value in module.parameters(recurse=False))
        for module in trunk_of(backbone).modules()
    )
    if len(backbone.stages) == 1 and layers > MANY_LAYERS:
        yield Finding(
            f"{layers} layers are in one stage, {backbone.stages[0].name!r}",
            "divide them: Stage('stem', ...), Stage('layer1', 'layer1.0', 'layer1.1'), ...",
        )


@check("make forward run on the example, so that the order can be seen", on_meta=True)
def stages_run_in_order(subject: BackboneSubject) -> Iterator[Finding]:
    """Stages, and the blocks of each, are listed in the order in which they run."""
    backbone = subject.copy()
    try:
        anatomy = read_anatomy(backbone)
    except AssemblyError as error:
        raise NotApplicableError("every_parameter_is_in_one_block says what is wrong") from error
    clock = _first_runs(subject, backbone)
    stages = {slot.name: slot.stage for slot in anatomy.slots}
    for earlier, later in _swapped(_moments(backbone, clock, stages)):
        yield Finding(
            f"stage {anatomy.stages[later]!r} runs before {anatomy.stages[earlier]!r}, which is "
            "listed before it",
            "list the stages in the order in which forward runs them, the stem first",
        )
    blocks = {slot.name: slot.block for slot in anatomy.slots}
    stage_of = {slot.block: slot.stage for slot in anatomy.slots}
    for earlier, later in _swapped(_moments(backbone, clock, blocks)):
        if stage_of[earlier] == stage_of[later]:
            yield Finding(
                f"in stage {anatomy.stages[stage_of[later]]!r} the block of "
                f"{_sample(anatomy, later)} runs before the block of {_sample(anatomy, earlier)}, "
                "which is listed before it",
                "list the blocks of a stage in the order in which forward runs them",
            )


def _outside(backbone: Backbone, trunk: nn.Module) -> Iterator[Finding]:
    inside = {id(value) for value in trunk.parameters()}
    strays = [name for name, value in backbone.named_parameters() if id(value) not in inside]
    if strays:
        yield Finding(
            f"{len(strays)} parameters are outside of the trunk {backbone.trunk_path!r}: "
            f"{some(strays)}",
            "keep all parameters in the trunk, or leave trunk_path empty",
        )


def _names(backbone: Backbone) -> Iterator[Finding]:
    names = [stage.name for stage in backbone.stages]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield Finding(f"{names.count(name)} stages are called {name!r}", "name each stage once")


def tell_misplaced(backbone: Backbone) -> Iterator[Finding]:
    """Tells of parameters that are in no block or in two, and of blocks that name nothing."""
    trunk = trunk_of(backbone)
    known = {name for name, _ in trunk.named_modules(remove_duplicate=False)}
    known |= {name for name, _ in trunk.named_parameters(remove_duplicate=False)}
    places: dict[str, set[tuple[int, str]]] = {}
    block_index = 0
    for stage in backbone.stages:
        for block in stage.blocks:
            for path in block:
                if path not in known:
                    yield Finding(
                        f"stage {stage.name!r} names {path!r}, but the trunk has no such module "
                        f"or parameter.{did_you_mean(path, known)}",
                        "name modules and parameters by their paths inside the trunk",
                    )
                places.setdefault(path, set()).add((block_index, stage.name))
            block_index += 1
    homeless, twice = [], []
    for aliases in _aliases(trunk):
        found = _places(aliases[:1], places) or _places(aliases[1:], places)
        if not found:
            homeless.append(aliases[0])
        elif len(found) > 1:
            twice.append(f"{aliases[0]} ({' and '.join(sorted({stage for _, stage in found}))})")
    if homeless:
        yield Finding(
            f"{len(homeless)} parameters are in no stage: {some(homeless)}",
            "name each, or the module that holds it, in a block of one stage",
        )
    if norms := _homeless_norms(trunk, places):
        yield Finding(
            f"{len(norms)} norms that keep statistics are in no stage, so that nothing freezes "
            f"them: {some(norms)}",
            "name each norm, with parameters or without, in the block whose layers it follows",
        )
    if twice:
        yield Finding(
            f"{len(twice)} parameters are in more than one block: {some(twice)}",
            "name each in one block only; a module's path stands for all that it holds",
        )


def _homeless_norms(trunk: nn.Module, places: dict[str, set[tuple[int, str]]]) -> list[str]:
    """Gives the norms that no parameter gives a stage, and no block names."""
    names: dict[nn.Module, list[str]] = {}
    for name, module in trunk.named_modules(remove_duplicate=False):
        if moves_statistics(module):
            names.setdefault(module, []).append(name)
    return [
        mine[0]
        for module, mine in names.items()
        if next(module.parameters(), None) is None and not _places(mine, places)
    ]


def _aliases(trunk: nn.Module) -> list[list[str]]:
    """Gives all names of each parameter, the one that stands for it first."""
    names: dict[int, list[str]] = {id(value): [name] for name, value in trunk.named_parameters()}
    for name, value in trunk.named_parameters(remove_duplicate=False):
        if name not in names[id(value)]:
            names[id(value)].append(name)
    return list(names.values())


def _places(names: list[str], places: dict[str, set[tuple[int, str]]]) -> set[tuple[int, str]]:
    found: set[tuple[int, str]] = set()
    for name in names:
        parts = name.split(".")
        for length in range(len(parts) + 1):
            found |= places.get(".".join(parts[:length]), set())
    return found


def _first_runs(subject: BackboneSubject, backbone: Backbone) -> dict[str, int]:
    """Gives when each module with parameters of its own first ran."""
    clock: dict[str, int] = {}

    def record(path: str) -> Any:
        def hook(module: nn.Module, args: Any) -> None:
            clock.setdefault(path, len(clock))

        return hook

    for path, module in trunk_of(backbone).named_modules():
        if path and next(module.parameters(recurse=False), None) is not None:
            module.register_forward_pre_hook(record(path))
    subject.run(backbone, subject.example())
    return clock


def _moments(
    backbone: Backbone, clock: dict[str, int], home: dict[str, int]
) -> dict[int, tuple[int, int]]:
    """Gives when each home's first parameters ran, and when half of its parameters had."""
    weighed: dict[int, list[tuple[int, int]]] = {}
    for name, value in trunk_of(backbone).named_parameters():
        owner = name.rpartition(".")[0]
        if owner in clock and name in home:
            weighed.setdefault(home[name], []).append((clock[owner], value.numel()))
    moments = {}
    for index, ran in weighed.items():
        ran.sort()
        total, gone = sum(size for _, size in ran), 0
        for when, size in ran:
            gone += size
            if 2 * gone >= total:
                moments[index] = (ran[0][0], when)
                break
    return moments


def _swapped(moments: dict[int, tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Gives neighbours of which the later one both begins before the earlier and is half done.

    A small part that runs early, or two paths that run side by side, swap nothing.
    """
    order = sorted(moments)
    for earlier, later in pairwise(order):
        if all(b < a for a, b in zip(moments[earlier], moments[later], strict=True)):
            yield earlier, later


def _sample(anatomy: Anatomy, block: int) -> str:
    return next(repr(slot.name) for slot in anatomy.slots if slot.block == block)
