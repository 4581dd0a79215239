"""Builds a trunk and finds out what a backbone declares of it."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit import AssemblyError, Backbone, OptionError
from fusionkit_transformers.classifier import drop_classifier, find_classifiers, join_vector
from fusionkit_transformers.grid import Grid, find_grid
from fusionkit_transformers.image_backbone import ImageBackbone, image_inputs, pool_output
from fusionkit_transformers.kinds import Kind
from fusionkit_transformers.layers import Section, find_sections
from fusionkit_transformers.preprocess import read_preprocessing
from fusionkit_transformers.sizes import find_sizes, input_size
from fusionkit_transformers.source import Source
from fusionkit_transformers.stages import find_stages
from fusionkit_transformers.text_backbone import TextBackbone, pool_tokens, text_inputs
from fusionkit_transformers.trace import REFUSALS, Trace, trace_run, unread_parameters
from fusionkit_transformers.trunk import (
    adapt_trunk,
    channel_field,
    load_trunk,
    make_trunk,
    takes_pooler,
)

__all__ = ["Wish", "describe_images", "describe_text"]

UNDECAYED = re.compile(
    r"(^|[._])(pos(ition)?_embed(ding)?s?|(cls|class|mask|distillation|dist|register)_tokens?"
    r"|class_embedding|relative_position_bias_table|probe|logit_scale)(\.weight)?$"
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for, looked up.

    Attributes:
        source: the model.
        kind: its class.
        in_channels: of the images.
        loads: whether the weights are loaded.
        num_classes: of the stock classifier, to keep it.
        pooling: where the vector is to come from, if that was said.
        interpolates: whether images of any size are taken.
        ignored_keys: globs over names in the weights that may be left out.
        trusts: whether code that comes with a repository is run.
        keys: the names in the weights, as far as they are here.
    """

    source: Source
    kind: Kind
    in_channels: int
    loads: bool
    num_classes: int | None
    pooling: str | None
    interpolates: bool
    ignored_keys: tuple[str, ...]
    trusts: bool
    keys: tuple[str, ...]


def describe_images(wish: Wish) -> tuple[Backbone, str | None]:
    """Gives a backbone of images, and the pooling to write down for the next time."""
    kind = wish.kind
    pooler = _keeps_pooler(wish)
    trunk = _build(wish, pooler)
    classifiers, kept = _settle_classifier(wish, trunk)
    arguments = _arguments(wish, trunk)
    preprocessing = read_preprocessing(wish.source.folder, wish.in_channels)
    size = input_size(kind.config, preprocessing)

    def run(size: tuple[int, int]) -> Trace:
        image = torch.zeros(1, wish.in_channels, *size)
        return trace_run(
            trunk, lambda each: trunk(**image_inputs(trunk, each["x"]), **arguments), {"x": image}
        )

    trace = _first_run(wish, run, size)
    if getattr(trace.output, "ids_restore", None) is not None:
        raise AssemblyError(
            f"hf/{wish.source.name}: {kind.trunk.__name__} leaves out patches at random, so that "
            "one image has many vectors; take a model that sees all of the image"
        )
    sections = find_sections(trunk, trace)
    patch = _patch(kind.config)
    taps, grids = _levels(wish, sections, trace, size, patch)
    prefix = grids[-1].prefix if grids else 0
    pooling = _image_pooling(wish, trace, pooler, prefix)
    vector = pool_output(trace.output, pooling, prefix)
    _still(trunk, trace, (vector, *getattr(trace.output, "feature_maps", ())))
    width = vector.shape[1]
    backbone = ImageBackbone(
        trunk,
        embed_dim=width - (wish.num_classes or 0 if kept else 0),
        pooling=pooling,
        prefix=prefix,
        taps=taps,
        grids=grids,
        arguments=arguments,
        size=size,
    )
    is_flat = len({grid.stride for grid in grids}) == 1 and grids[-1].layout == "tokens"
    backbone.fixed_size, backbone.size_multiple = find_sizes(run, size)
    if backbone.fixed_size is None and is_flat:
        backbone.size_multiple = grids[-1].stride  # else the rest of the image is cut off
    backbone.in_channels = wish.in_channels
    backbone.preprocessing = preprocessing
    backbone.first_layers = _first_layers(wish, trunk, pooler, classifiers, kept)
    _declare(wish, backbone, trunk, sections, trace, classifiers, kept, pooler)
    return backbone, None if pooling in ("classifier", "maps") else pooling


def describe_text(wish: Wish) -> tuple[Backbone, str | None]:
    """Gives a backbone of texts, and the pooling to write down for the next time."""
    kind = wish.kind
    if wish.interpolates:
        raise OptionError(f"hf/{wish.source.name} takes texts; leave interpolate_pos_encoding out")
    pooler = wish.pooling == "pooler"
    trunk = _build(wish, pooler)
    classifiers, kept = _settle_classifier(wish, trunk)
    inputs = {"input_ids": torch.zeros(1, 6, dtype=torch.long)}

    def run(_: tuple[int, int]) -> Trace:
        return trace_run(trunk, lambda each: trunk(**text_inputs(each)), inputs)

    trace = _first_run(wish, run, (1, 6))
    pooling = wish.pooling or "mean"
    has_pooler = getattr(trace.output, "pooler_output", None) is not None
    if kind.classifies:
        pooling = "classifier"
    elif wish.pooling is None and has_pooler and not takes_pooler(kind):
        pooling = "pooler"
    elif pooling == "pooler" and not has_pooler:
        raise OptionError(f"hf/{wish.source.name} has no pooler; write pooling='mean' or 'cls'")
    vector = pool_tokens(trace.output, pooling, None)
    _still(trunk, trace, (vector,))
    width = vector.shape[1]
    backbone = TextBackbone(
        trunk,
        embed_dim=width - (wish.num_classes or 0 if kept else 0),
        pooling=pooling,
        vocabulary=kind.config.vocab_size,
        max_tokens=_max_tokens(trunk),
    )
    sections = find_sections(trunk, trace)
    _declare(wish, backbone, trunk, sections, trace, classifiers, kept, pooler)
    return backbone, None if pooling == "classifier" else pooling


def _build(wish: Wish, pooler: bool) -> nn.Module:
    kind = wish.kind
    if not wish.loads:
        channels = wish.in_channels if kind.takes == "images" else None
        return make_trunk(kind, pooler=pooler, in_channels=channels)
    trunk = load_trunk(
        wish.source,
        kind,
        pooler=pooler,
        ignored_keys=wish.ignored_keys,
        trust_remote_code=wish.trusts,
    )
    field = channel_field(kind.config)
    trained_on = getattr(kind.config, field) if field is not None else 3
    if kind.takes == "images" and wish.in_channels != trained_on:
        return adapt_trunk(kind, trunk, pooler=pooler, in_channels=wish.in_channels)
    return trunk


def _keeps_pooler(wish: Wish) -> bool:
    """Tells whether a pooler that can be left out is read: where it was asked for, or trained."""
    if wish.pooling is not None:
        return wish.pooling == "pooler"
    if wish.keys:
        return any("pooler." in key for key in wish.keys)
    return wish.kind.is_base


def _settle_classifier(wish: Wish, trunk: nn.Module) -> tuple[tuple[str, ...], bool]:
    """Gives the paths of the classifier, and whether it was kept."""
    if not wish.kind.classifies:
        return (), False
    paths = find_classifiers(trunk)
    kept = bool(wish.num_classes) and wish.num_classes == wish.kind.config.num_labels and bool(paths)
    (join_vector if kept else drop_classifier)(trunk, paths)
    return paths, kept


def _still(trunk: nn.Module, trace: Trace, outputs: tuple[Tensor, ...]) -> None:
    """Lets what nothing reads require no gradient, such as a mask token."""
    for name in unread_parameters(trace, outputs):
        trunk.get_parameter(name).requires_grad_(False)


def _arguments(wish: Wish, trunk: nn.Module) -> dict[str, Any]:
    if not wish.interpolates:
        return {}
    taken = inspect.signature(trunk.forward).parameters
    if "interpolate_pos_encoding" not in taken:
        raise OptionError(
            f"hf/{wish.source.name}: {type(trunk).__name__} takes no `interpolate_pos_encoding`"
        )
    return {"interpolate_pos_encoding": True}


def _first_run(wish: Wish, run: Any, size: tuple[int, int]) -> Trace:
    try:
        trace: Trace = run(size)
    except REFUSALS as error:
        raise AssemblyError(
            f"hf/{wish.source.name}: {wish.kind.trunk.__name__} cannot be run on "
            f"{wish.kind.takes} alone: {' '.join(str(error).split())[:300]}"
        ) from error
    return trace


def _levels(
    wish: Wish,
    sections: tuple[Section, ...],
    trace: Trace,
    size: tuple[int, int],
    patch: int | None,
) -> tuple[tuple[str, ...], tuple[Grid, ...]]:
    """Gives the modules whose outputs are maps, and how these lie, fine to coarse."""
    if wish.kind.gives_maps:
        maps = [find_grid(tuple(each.shape), size, None, False) for each in trace.output.feature_maps]
        return (), tuple(grid for grid in maps if grid is not None)
    is_flat = all(len(section.layers) == 1 for section in sections) and (
        len({trace.runs[section.layers[0]].shape for section in sections}) == 1
    )
    found: dict[int, tuple[str, Grid]] = {}
    layers = [path for section in sections for path in section.layers if path in trace.runs]
    for index, path in enumerate(layers):
        grid = find_grid(trace.runs[path].shape, size, patch, is_flat)
        if grid is not None:  # of a hierarchical network, the last at each stride
            found[index if is_flat else -grid.stride] = path, grid
    ordered = sorted(found.values(), key=lambda pair: pair[1].stride)
    return tuple(path for path, _ in ordered), tuple(grid for _, grid in ordered)


def _image_pooling(wish: Wish, trace: Trace, pooler: bool, prefix: int) -> str:
    if wish.kind.classifies:
        return "classifier"
    if wish.kind.gives_maps:
        return "maps"
    has_pooler = getattr(trace.output, "pooler_output", None) is not None
    if wish.pooling is None:
        return "pooler" if has_pooler else "cls" if prefix else "mean"
    if wish.pooling == "pooler" and not has_pooler:
        raise OptionError(f"hf/{wish.source.name} has no pooler; write pooling='cls' or 'mean'")
    if wish.pooling == "cls" and not prefix:
        raise OptionError(f"hf/{wish.source.name} has no class token; write pooling='mean'")
    return wish.pooling


def _patch(config: Any) -> int | None:
    patch = getattr(getattr(config, "vision_config", config), "patch_size", None)
    if isinstance(patch, (list, tuple)) and patch:
        patch = patch[0]
    return patch if isinstance(patch, int) else None


def _first_layers(
    wish: Wish, trunk: nn.Module, pooler: bool, classifiers: tuple[str, ...], kept: bool
) -> tuple[str, ...]:
    """Gives the parameters that read the channels along dimension 1, by a look at a twin."""
    if channel_field(wish.kind.config) is None:
        return ()
    channels = wish.in_channels
    with torch.device("meta"), torch.random.fork_rng(devices=()):
        twin = make_trunk(wish.kind, pooler=pooler, in_channels=4 if channels != 4 else 3)
    shapes = {name: tuple(value.shape) for name, value in twin.named_parameters()}
    first = []
    for name, value in trunk.named_parameters():
        own, other = tuple(value.shape), shapes.get(name, tuple(value.shape))
        if own != other:
            if own[:1] + own[2:] != other[:1] + other[2:] or own[1] != channels:
                return ()
            first.append(name)
    return tuple(first)


def _declare(
    wish: Wish,
    backbone: Backbone,
    trunk: nn.Module,
    sections: tuple[Section, ...],
    trace: Trace,
    classifiers: tuple[str, ...],
    kept: bool,
    pooler: bool,
) -> None:
    names = [name for name, _ in trunk.named_parameters()]
    own = frozenset(name for name in names if kept and name.startswith(_dotted(classifiers)))
    backbone.stages = find_stages(trunk, sections, trace, own)
    backbone.num_classes = wish.num_classes if kept else None
    dropped = () if kept else tuple(f"{path}.*" for path in classifiers)
    if takes_pooler(wish.kind) and not pooler:
        dropped = (*dropped, "pooler.*")
    backbone.dropped_keys = dropped
    is_text = wish.kind.takes == "text"
    backbone.no_weight_decay = frozenset(
        name for name in names if UNDECAYED.search(name) and not (is_text and ".weight" in name)
    )


def _dotted(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{path}." for path in paths)


def _max_tokens(trunk: nn.Module) -> int | None:
    """Gives how many positions a model has an embedding for."""
    for path, module in trunk.named_modules():
        leaf = path.rpartition(".")[2]
        if isinstance(module, nn.Embedding) and re.fullmatch(r"position_embeddings?|wpe", leaf):
            padding = module.padding_idx
            return module.num_embeddings - (0 if padding is None else padding + 1)
    return None
