"""Finds the place of every parameter of a backbone in its stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from torch import Tensor, nn

from fusionkit.backbone.contract import Backbone
from fusionkit.backbone.depth import Stage
from fusionkit.errors import AssemblyError, did_you_mean, some_of
from fusionkit.policy.slots import Anatomy, Slot

__all__ = ["check_unchanged", "is_norm", "read_anatomy", "takes_decay", "trunk_of"]

NORM_TYPES = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.LocalResponseNorm,
    nn.RMSNorm,
)


def trunk_of(backbone: Backbone) -> nn.Module:
    """Gives the module whose parameter names are a stock checkpoint's own."""
    return backbone.get_submodule(backbone.trunk_path)


def is_norm(module: nn.Module) -> bool:
    """Tells a normalisation layer, torch's own or one that says so in its class name."""
    return isinstance(module, NORM_TYPES) or "norm" in type(module).__name__.lower()


def read_anatomy(backbone: Backbone) -> Anatomy:
    """Gives the table of all parameters by stage and block.

    Raises:
        AssemblyError: a parameter is in no block or in two, a block names nothing, a stage's
            name stands twice or is no name.
    """
    trunk = trunk_of(backbone)
    parameters = dict(trunk.named_parameters())
    modules = dict(trunk.named_modules(remove_duplicate=False))
    every = list(trunk.named_parameters(remove_duplicate=False))
    strays = _outside(backbone, parameters)
    if strays:
        raise AssemblyError(
            f"parameters outside of the trunk {backbone.trunk_path!r}: {some_of(strays)}; a "
            "backbone with a trunk_path keeps all its parameters in there"
        )
    _check_stage_names(backbone.stages)
    places = _places(backbone.stages, {*modules, *(name for name, _ in every)})
    aliases = _aliases(parameters, every)
    slots = []
    orphans = []
    for name, parameter in parameters.items():
        found = _find(name, places) or {
            place for alias in aliases.get(name, ()) for place in _find(alias, places)
        }
        if not found:
            orphans.append(name)
        elif len(found) > 1:
            stages = sorted({backbone.stages[stage].name for stage, _ in found})
            raise AssemblyError(
                f"parameter {name!r} is in {len(found)} blocks, of stage "
                f"{' and '.join(stages)}; every parameter belongs to exactly one"
            )
        else:
            stage, block = min(found)
            path, _, leaf = name.rpartition(".")
            norm, bias = is_norm(modules[path]), _is_bias(leaf)
            decays = takes_decay(leaf, parameter, norm) and name not in backbone.no_weight_decay
            slots.append(Slot(name, stage, block, norm, bias, decays))
    if orphans:
        raise AssemblyError(
            f"{len(orphans)} of {len(parameters)} parameters are in no stage: {some_of(orphans)}; "
            "name them, or the module that holds them, in a block of one stage"
        )
    slots.sort(key=lambda slot: slot.block)
    return Anatomy(tuple(stage.name for stage in backbone.stages), tuple(slots))


def takes_decay(leaf: str, parameter: Tensor, norm: bool) -> bool:
    """Tells whether weight decay applies: to matrices and kernels, not to norms and biases.

    Args:
        leaf: the last part of the parameter's name.
        parameter: itself.
        norm: whether it belongs to a norm layer.
    """
    return not (norm or _is_bias(leaf) or parameter.ndim <= 1)


def check_unchanged(branch: str, trunk: nn.Module, anatomy: Anatomy) -> None:
    """Refuses a trunk whose parameters are no longer those that its stages were made of.

    Raises:
        AssemblyError: names the branch and what was added or is gone.
    """
    now = {name for name, _ in trunk.named_parameters()}
    then = {slot.name for slot in anatomy.slots}
    if now != then:
        changed = sorted(now ^ then)
        raise AssemblyError(
            f"branch {branch!r} was changed after it was composed: {some_of(changed)} "
            f"{'is' if len(changed) == 1 else 'are'} new or gone, so that no policy knows of it; "
            "a model is changed by composing it anew"
        )


def _is_bias(leaf: str) -> bool:
    return leaf == "bias" or leaf.endswith("_bias")


def _check_stage_names(stages: tuple[Stage, ...]) -> None:
    if not isinstance(stages, tuple) or not all(isinstance(stage, Stage) for stage in stages):
        raise AssemblyError(
            "a backbone's `stages` must be a tuple of fusionkit.Stage, got "
            f"{type(stages).__name__}; a layer of that name has to be called otherwise"
        )
    seen: set[str] = set()
    for stage in stages:
        if stage.name in seen:
            raise AssemblyError(f"two stages are called {stage.name!r}")
        seen.add(stage.name)


def _places(stages: tuple[Stage, ...], known: set[str]) -> dict[str, set[tuple[int, int]]]:
    """Gives stage and running block index for each path that a block names."""
    places: dict[str, set[tuple[int, int]]] = {}
    block_index = 0
    for stage_index, stage in enumerate(stages):
        for block in stage.blocks:
            for path in block:
                if path not in known:
                    raise AssemblyError(
                        f"stage {stage.name!r} names {path!r}, but the trunk has no such module "
                        f"or parameter.{did_you_mean(path, known)}"
                    )
                places.setdefault(path, set()).add((stage_index, block_index))
            block_index += 1
    return places


def _find(name: str, places: dict[str, set[tuple[int, int]]]) -> set[tuple[int, int]]:
    found = set(places.get("", ()))
    for prefix in _prefixes(name):
        found |= places.get(prefix, set())
    return found


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        yield ".".join(parts[:length])


def _aliases(
    parameters: Mapping[str, Tensor], every: Iterable[tuple[str, Tensor]]
) -> dict[str, list[str]]:
    """Gives the further names of tied parameters by the name that stands for all of them."""
    canonical = {id(parameter): name for name, parameter in parameters.items()}
    aliases: dict[str, list[str]] = {}
    for name, parameter in every:
        first = canonical[id(parameter)]
        if name != first:
            aliases.setdefault(first, []).append(name)
    return aliases


def _outside(backbone: Backbone, parameters: Mapping[str, Tensor]) -> list[str]:
    inside = {id(parameter) for parameter in parameters.values()}
    return [name for name, value in backbone.named_parameters() if id(value) not in inside]
