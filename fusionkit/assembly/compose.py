"""``compose``: from a recipe to a model."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from copy import deepcopy
from dataclasses import replace
from os import PathLike
from typing import Any, Literal, TypeAlias

from fusionkit.assembly.branch import build_backbone, build_part
from fusionkit.assembly.factory import call_factory, located
from fusionkit.assembly.inventory import record_inventory
from fusionkit.assembly.options import check_options
from fusionkit.backbone.contract import Backbone
from fusionkit.catalog import BackboneEntry, Catalog, HeadEntry
from fusionkit.errors import AssemblyError, ConfigError, FusionKitError
from fusionkit.head import FusionHead, HeadInput
from fusionkit.model.fused import FusedModel
from fusionkit.recipe.values import Branch, Head, Recipe

__all__ = ["assemble", "build_head", "compose"]

Rebuild: TypeAlias = tuple[str, Mapping[str, Any]]


def compose(
    branches: Mapping[str, Branch] | Recipe,
    head: Head | str | None = None,
    num_classes: int | None = None,
    *,
    preprocess: Literal["outside", "inside"] | None = None,
    catalog: Catalog | None = None,
) -> FusedModel:
    """Builds the model that a recipe describes, with its pretrained weights.

    Example::

        model = fusionkit.compose(
            {
                "shape": Branch("timm/resnet50.a1_in1k", freeze=Freeze.all()),
                "texture": Branch("torchvision/efficientnet_b0", lr=LR(0.1)),
            },
            head=Head("concat", hidden=512),
            num_classes=10,
        )

    Args:
        branches: backbones by name; or a whole recipe, and nothing else.
        head: the fusion head; its name alone will do where it needs no options.
        num_classes: how many classes the model tells apart.
        preprocess: ``"inside"`` gives a model that takes raw images and prepares them for each
            branch as its weights were trained; ``"outside"``, which branches
            have by default, leaves that to the caller. A recipe has its own.
        catalog: where names are looked up; by default all installed plugins.

    Raises:
        ConfigError: a name or an option is wrong as it was written.
        PluginError: the plugin that a name belongs to is broken or blocked.
        CheckpointError: a weights file does not fit.
        AssemblyError: the parts do not fit each other.
        PolicyError: a policy does not fit its branch.
    """
    if isinstance(branches, Recipe):
        if head is not None or num_classes is not None:
            raise ConfigError("compose takes a recipe, or branches, head and num_classes; not both")
        if preprocess not in (None, branches.preprocess):
            raise ConfigError("a recipe has its own `preprocess`; change it there")
        recipe = branches
    else:
        if isinstance(branches, (str, PathLike)):
            raise ConfigError(
                f"compose takes a recipe, not the path of one: compose(read_recipe({branches!r}))"
            )
        if head is None:
            raise ConfigError("compose needs a head, for example head=Head('concat')")
        chosen = Head(head) if isinstance(head, str) else head
        recipe = Recipe(
            branches, chosen, num_classes, "outside" if preprocess is None else preprocess
        )
    return assemble(recipe, catalog or Catalog.installed(), load_weights=True)


def assemble(
    recipe: Recipe,
    catalog: Catalog,
    *,
    load_weights: bool | Container[str],
    rebuilds: Mapping[str, Rebuild] | None = None,
) -> FusedModel:
    """Builds the model, or with ``load_weights=False`` one of random weights to be filled.

    Args:
        recipe: what to build.
        catalog: where names are looked up.
        load_weights: whether to load pretrained weights, or of which branches.
        rebuilds: ``Backbone.rebuild`` by branch, of the backbones that are to be filled.
    """
    if recipe.num_classes is None:
        raise ConfigError("num_classes is missing: say how many classes the model tells apart")
    head_entry = catalog.head(recipe.head.name)
    wants_logits = bool(getattr(head_entry.factory, "takes_logits", False))
    provenance = {"head": _origin(head_entry)}
    backbones: dict[str, Backbone] = {}
    resolved = dict(recipe.branches)
    for name in sorted(recipe.branches):
        branch = recipe.branches[name]
        rebuild = (rebuilds or {}).get(name)
        try:
            source = _rebuilt(branch, rebuild) if rebuild is not None else branch
            entry = catalog.backbone(source.backbone)
            keeps = wants_logits if branch.classifier is None else branch.classifier
            loads = load_weights if isinstance(load_weights, bool) else name in load_weights
            backbone = build_backbone(
                source, entry.factory, recipe.num_classes if keeps else None, loads
            )
        except FusionKitError as error:
            raise located(error, f"branch {name!r} ({branch.backbone})") from error
        provenance[name] = _origin(entry)
        if rebuild is not None:
            backbone.rebuild = rebuild
        backbones[name] = backbone
        resolved[name] = replace(
            branch,
            classifier=backbone.num_classes is not None,
            preprocessing=branch.preprocessing or backbone.preprocessing,
        )
    resolved_recipe = replace(recipe, branches=resolved)
    inputs = {
        name: HeadInput(backbone.embed_dim, backbone.levels, backbone.num_classes)
        for name, backbone in backbones.items()
    }
    head = build_head(recipe.head, head_entry.factory, inputs, recipe.num_classes, catalog)
    parts = {
        name: build_part(name, resolved[name], backbone, head)
        for name, backbone in backbones.items()
    }
    model = FusedModel(resolved_recipe, backbones, head, parts, provenance)
    record_inventory(model)
    return model


def _rebuilt(branch: Branch, rebuild: Rebuild) -> Branch:
    """Gives the branch with the provider's name and options that need nothing from outside."""
    name, options = rebuild
    provider = branch.backbone.partition("/")[0]
    return replace(branch, backbone=f"{provider}/{name}", options=options)


def _origin(entry: BackboneEntry | HeadEntry) -> str:
    if entry.distribution is None:
        return "a plugin given in Python"
    return f"{entry.distribution} {entry.version}"


def build_head(
    head: Head,
    factory: Callable[..., Any],
    inputs: Mapping[str, HeadInput],
    num_classes: int,
    catalog: Catalog,
) -> FusionHead:
    """Builds a head for what branches offer.

    Raises:
        ConfigError: an option is wrong as it was written.
        AssemblyError: the branches do not fit the head, or its factory gave something else.
    """
    options = deepcopy(dict(head.options))
    call: dict[str, Any] = {"num_classes": num_classes}
    if getattr(factory, "takes_catalog", False):
        call["catalog"] = catalog
    try:
        check_options(head.name, factory, (inputs,), call, options)
        built = call_factory(head.name, factory, (inputs,), {**call, **options})
    except FusionKitError as error:
        raise located(error, f"head {head.name!r}") from error
    if not isinstance(built, FusionHead):
        raise AssemblyError(
            f"head {head.name!r}: its factory gave {type(built).__name__} instead of a "
            "fusionkit.FusionHead"
        )
    return built
