"""Builds one branch: the backbone, its weights, and what the policies know of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from fnmatch import fnmatchcase
from os import fspath
from typing import Any

import torch

from fusionkit.assembly.factory import call_factory, reworded
from fusionkit.assembly.lazy import shape_lazy_layers
from fusionkit.assembly.load_plan import plan_trunk
from fusionkit.assembly.options import check_options, makes_classifiers
from fusionkit.assembly.uninitialised import build_uninitialised
from fusionkit.assembly.unread import find_unread
from fusionkit.assembly.weights import fill_trunk, open_weights, refuse_pickle
from fusionkit.assembly.whole_folder import warn_of_preparation
from fusionkit.backbone.contract import Backbone
from fusionkit.backbone.depth import Level
from fusionkit.errors import AssemblyError, CheckpointError, ConfigError
from fusionkit.features import Reads
from fusionkit.head import FusionHead
from fusionkit.model.anatomy import read_anatomy, trunk_of
from fusionkit.model.measure import measure_stages
from fusionkit.model.part import Part
from fusionkit.recipe.values import Branch
from fusionkit.recipe.weights import Weights, is_source
from fusionkit.tensors.source import TensorSource

__all__ = ["build_backbone", "build_part"]


def build_backbone(
    branch: Branch, factory: Callable[..., Any], num_classes: int | None, load_weights: bool
) -> Backbone:
    """Builds a branch's backbone with the weights that it names.

    Args:
        branch: as the user wrote it.
        factory: from the catalog.
        num_classes: of the stock classifier, to keep it if it has so many; ``None`` drops it.
        load_weights: ``False`` leaves parameters and persistent buffers without values, all of
            which the caller fills.
    """
    source = _source(branch)
    loads = source is not None and load_weights
    asks = loads and branch.classifier is None and num_classes is not None
    backbone = _make(branch, factory, None if asks else num_classes, source, load_weights)
    if source is not None and load_weights:
        opened = open_weights(source)
        if asks and (kept := _with_trunks_words(backbone, source, opened)):
            found = _with_its_classifier(branch, factory, num_classes, kept, opened)
            backbone, source = (found, kept) if found else (backbone, source)
        fill_trunk(backbone, source, fresh=True, opened=opened)
        if branch.preprocessing is None:
            warn_of_preparation(source)
    if branch.preprocessing is not None:
        backbone.preprocessing = branch.preprocessing.for_channels(branch.in_channels)
    stages: Any = getattr(backbone, "stages", ())
    if isinstance(stages, tuple) and not stages:
        backbone.stages = measure_stages(backbone)
    return backbone


def _with_trunks_words(plain: Backbone, source: Weights, opened: TensorSource) -> Weights | None:
    """Gives a checkpoint as it is to be taken, if something besides the trunk is in it.

    What stands before the trunk's names stands before a classifier's too, or nothing does.
    """
    try:
        report = plan_trunk(plain, opened, source)
    except CheckpointError:  # filling the trunk raises it again
        return None
    left = [*report.ignored, *report.unexpected]
    if all(any(fnmatchcase(name, glob) for glob in source.ignore) for name in left):
        return None
    return replace(source, rename=report.renamed)


def _with_its_classifier(
    branch: Branch,
    factory: Callable[..., Any],
    num_classes: int | None,
    source: Weights,
    opened: TensorSource,
) -> Backbone | None:
    """Gives a backbone with a classifier of so many classes, if the checkpoint's is one."""
    try:
        with torch.random.fork_rng(devices=[]):  # what is drawn later does not depend on the trial
            backbone = _make(replace(branch, classifier=True), factory, num_classes, source, True)
        fits = not plan_trunk(backbone, opened, source).problems()
    except (CheckpointError, ConfigError):  # nothing is clear there, or the factory makes none
        return None
    return backbone if fits else None


def _make(
    branch: Branch,
    factory: Callable[..., Any],
    num_classes: int | None,
    source: Weights | None,
    load_weights: bool,
) -> Backbone:
    """Calls the factory, and checks what it gave; a checkpoint of one's own is not loaded yet."""
    given = branch.weights if source is None else None
    assert given is None or isinstance(given, str)
    tag = given if load_weights else None
    options = deepcopy(dict(branch.options))
    call: dict[str, Any] = {
        "in_channels": branch.in_channels,
        "weights": tag,
        "num_classes": num_classes,
    }
    makes_new = makes_classifiers(factory)
    if makes_new:
        call["new_classifier"] = bool(branch.classifier) and tag is None
    check_options(branch.backbone, factory, (), call, options)

    filled = not load_weights or (source is not None and not source.missing)
    empty = getattr(factory, "build_empty", None) if filled else None

    def build() -> Backbone:
        try:
            built: Backbone = call_factory(branch.backbone, factory, (), {**call, **options})
        except ConfigError as error:
            if tag is None or not os.path.exists(tag):
                raise
            here = f"{str(error).rstrip('.')}. There is a {tag!r} here; as a path, write './{tag}'"
            raise reworded(error, here) from error
        return built

    backbone = None
    if empty is not None:
        backbone = call_factory(branch.backbone, empty, (), {**call, **deepcopy(options)})
    if backbone is None:
        backbone = build_uninitialised(build) if filled else build()
    _check_backbone(backbone, branch, num_classes, makes_new)
    if tag is not None and backbone.weights is None:
        raise ConfigError(
            f"the factory was asked for the weights {tag!r} and left backbone.weights at None: "
            "there are no such weights (write weights=None for random ones, or the path of a "
            "safetensors file), or its author forgot to set it"
        )
    return backbone


def _source(branch: Branch) -> Weights | None:
    """Gives the checkpoint of one's own that a branch names, if it names no tag."""
    if isinstance(branch.weights, Weights) or branch.weights is None:
        return branch.weights
    weights = fspath(branch.weights)
    refuse_pickle(weights)
    return Weights(weights) if is_source(weights) else None


def _check_backbone(
    backbone: Any, branch: Branch, num_classes: int | None, makes_new: bool
) -> None:
    """Refuses what a factory must not give, before anything relies on it."""
    if not isinstance(backbone, Backbone):
        raise AssemblyError(
            f"its factory gave {type(backbone).__name__} instead of a fusionkit.Backbone"
        )
    width: Any = getattr(backbone, "embed_dim", None)
    if not isinstance(width, int) or isinstance(width, bool) or width < 1:
        raise AssemblyError(f"its `embed_dim` must be the width of its vector, got {width!r:.80}")
    levels: Any = backbone.levels
    if not isinstance(levels, tuple) or not all(isinstance(level, Level) for level in levels):
        raise AssemblyError(
            f"its `levels` must be a tuple of fusionkit.Level, fine to coarse, got {levels!r:.80}"
        )
    if backbone.in_channels != branch.in_channels:
        raise AssemblyError(
            f"it takes {backbone.in_channels} channels, but in_channels={branch.in_channels} was "
            "asked for; the factory must pass it on and set `in_channels`"
        )
    if branch.classifier and backbone.num_classes != num_classes:
        more = ", or give the path of weights that have one" if makes_new else ""
        raise ConfigError(
            f"it has no classifier of its own for {num_classes} classes; leave `classifier` out, "
            f"and the head makes a new one{more}"
        )
    shape_lazy_layers(backbone)


def build_part(name: str, branch: Branch, backbone: Backbone, head: FusionHead) -> Part:
    """Gives what the policies know of a branch, after checking that the head can read it.

    Raises:
        AssemblyError: the backbone's stages do not hold its parameters, or it has not what the
            head reads.
    """
    try:
        anatomy = read_anatomy(backbone)
        reads = _reads(name, head).resolve(len(backbone.levels))
        if reads.logits and backbone.num_classes is None:
            raise AssemblyError(
                "the head reads logits, but the backbone has no classifier; choose a head that "
                "reads vectors, or a backbone whose classifier can be kept (classifier=True)"
            )
        named = trunk_of(backbone).named_parameters()
        declared = frozenset(key for key, value in named if value.requires_grad)
        learnable = declared - find_unread(backbone, reads) if declared else declared
    except (AssemblyError, ConfigError) as error:
        raise AssemblyError(f"branch {name!r} ({branch.backbone}): {error}") from error
    return Part(branch, anatomy, reads, learnable)


def _reads(name: str, head: FusionHead) -> Reads:
    reads: Any = getattr(head, "reads", None)
    if isinstance(reads, Mapping):
        reads = reads.get(name)
    if isinstance(reads, str):
        return Reads.parse(reads)
    if not isinstance(reads, Reads):
        raise AssemblyError(
            "the head does not say what it reads of it: set `reads` to 'vector', 'maps', "
            f"'logits' or a fusionkit.Reads, got {reads!r:.80}"
        )
    return reads
