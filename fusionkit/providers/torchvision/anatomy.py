"""Cuts a trunk into stages and levels, by its family's description and by what came out where."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from fusionkit import Level, Stage
from fusionkit.providers.torchvision.families import Family
from fusionkit.providers.torchvision.taps import LevelTap
from fusionkit.providers.torchvision.trace import Output

__all__ = ["cut_levels", "cut_stages"]

Block = tuple[str, ...]


@dataclass(slots=True)
class _Draft:
    """A stage while it grows: its modules, the stride at its end, and its blocks."""

    name: str
    stride: int
    blocks: list[Block]
    opened: bool = False


def cut_stages(trunk: nn.Module, family: Family, outputs: tuple[Output, ...]) -> tuple[Stage, ...]:
    """Gives the stages of all parameters, in running order, the classifier last."""
    drafts: list[_Draft] = []
    stem = tuple(path for path in family.stem if _has_parameters(trunk, path))
    if stem:
        drafts.append(_Draft("stem", 0, [stem]))
    for output in outputs:
        module = trunk.get_submodule(output.path)
        if output.path in stem or not _has_parameters(trunk, output.path):
            continue
        if drafts and _is_norm_layer(module):
            drafts[-1].blocks[-1] += (output.path,)
            continue
        blocks, opened = _blocks_of(trunk, family, output.path)
        within_stem = stem and len(drafts) == 1
        if drafts and not within_stem and not family.apart and drafts[-1].stride == output.stride:
            if opened and not drafts[-1].opened and len(drafts[-1].blocks) == 1:
                drafts[-1].name = output.path  # a lone layer that shrinks, before the blocks
            drafts[-1].blocks += blocks
            drafts[-1].opened |= opened
        else:
            name = output.path if drafts else "stem"
            drafts.append(_Draft(name, output.stride, blocks, opened))
    for path in family.tail:
        drafts[-1].blocks[-1] += (path,)
    stages = [Stage(_readable(draft.name), *draft.blocks) for draft in drafts]
    neck = [block for block in family.neck if all(_exists(trunk, path) for path in block)]
    if neck:
        stages.append(Stage("pre_logits", *neck))
    if _has_parameters(trunk, family.classifier):
        stages.append(Stage("classifier", (family.classifier,)))
    return tuple(stages)


def cut_levels(
    trunk: nn.Module, family: Family, outputs: tuple[Output, ...]
) -> tuple[tuple[Level, ...], dict[str, LevelTap]]:
    """Gives the levels, fine to coarse, and for each its hook by the module that it belongs to."""
    taken: list[Output] = []
    for output in outputs:
        closes = family.apart and _is_norm_layer(trunk.get_submodule(output.path))
        if taken and (closes or (not family.apart and taken[-1].stride == output.stride)):
            taken[-1] = output
        else:
            taken.append(output)
    levels = tuple(Level(output.channels, output.stride) for output in taken)
    taps = {
        output.path: LevelTap(
            level=index,
            pattern=_pattern(family, output),
            grid=output.grid if family.layout == "tokens" else (),
            prefix=1 if family.layout == "tokens" else 0,
            relu=family.relu_last and index == len(taken) - 1,
        )
        for index, output in enumerate(taken)
    }
    return levels, taps


def _pattern(family: Family, output: Output) -> str:
    axes = " ".join(axis for axis, _ in output.grid)
    if family.layout == "tokens":
        return f"b ({axes}) c"
    return f"b {axes} c" if family.layout == "channels last" else f"b c {axes}"


def _blocks_of(trunk: nn.Module, family: Family, path: str) -> tuple[list[Block], bool]:
    """Gives the blocks that a module of the chain is made of, and whether it is more than one."""
    module = trunk.get_submodule(path)
    for pattern, inner in family.opened:
        if fnmatchcase(path, pattern):
            parent = f"{path}.{inner}" if inner else path
            children = trunk.get_submodule(parent).named_children()
            return [(f"{parent}.{name}",) for name, _ in children], True
    children_are_blocks = all(any(True for _ in child.children()) for child in module.children())
    if type(module) is nn.Sequential and children_are_blocks:
        return [(f"{path}.{name}",) for name, _ in module.named_children()], True
    return [(path,)], False


def _is_norm_layer(module: nn.Module) -> bool:
    return isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm))


def _has_parameters(trunk: nn.Module, path: str) -> bool:
    parent, _, leaf = path.rpartition(".")
    if leaf in trunk.get_submodule(parent)._parameters:
        return True
    return any(True for _ in trunk.get_submodule(path).parameters())


def _exists(trunk: nn.Module, path: str) -> bool:
    try:
        trunk.get_submodule(path)
    except AttributeError:
        return False
    return True


def _readable(path: str) -> str:
    return path.replace("encoder_layer_", "")
