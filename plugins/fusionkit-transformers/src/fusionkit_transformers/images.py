"""Builds a vision model and finds out what a backbone declares of it."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from fusionkit import AssemblyError, Backbone, OptionError
from fusionkit_transformers.grid import Grid, find_grid
from fusionkit_transformers.image_backbone import ImageBackbone, image_inputs, pool_output
from fusionkit_transformers.layers import Section, find_sections
from fusionkit_transformers.preprocess import read_preprocessing
from fusionkit_transformers.sizes import find_sizes, input_size
from fusionkit_transformers.trace import Trace, trace_run
from fusionkit_transformers.trunk import channel_field, make_trunk
from fusionkit_transformers.wish import Wish, build_trunk, declare, run_first, still_unread

__all__ = ["build_images"]


def build_images(wish: Wish) -> tuple[Backbone, str | None]:
    """Gives a backbone of images, and the pooling to write down for the next time."""
    trunk = build_trunk(wish, pooler=_keeps_pooler(wish))
    module = trunk.module
    arguments = _arguments(wish, module)
    preprocessing = read_preprocessing(wish.source.folder, wish.in_channels)
    size = input_size(wish.kind.config, preprocessing)

    def run(size: tuple[int, int]) -> Trace:
        def call(inputs: Any) -> Any:
            return module(**image_inputs(module, inputs["x"]), **arguments)

        return trace_run(module, call, {"x": torch.zeros(1, wish.in_channels, *size)})

    trace = run_first(wish, lambda: run(size))
    if getattr(trace.output, "ids_restore", None) is not None:
        raise AssemblyError(
            f"hf/{wish.source.name}: {type(module).__name__} leaves out patches at random, so "
            "that one image has many vectors; take a model that sees all of the image"
        )
    sections = find_sections(module, trace)
    taps, grids = _levels(wish, sections, trace, size)
    prefix = grids[-1].prefix if grids else 0
    pooling = _pooling(wish, trace, prefix)
    vector = pool_output(trace.output, pooling, prefix)
    still_unread(module, trace, (vector, *getattr(trace.output, "feature_maps", ())))
    backbone = ImageBackbone(
        module,
        embed_dim=vector.shape[1] - (trunk.num_classes or 0),
        pooling=pooling,
        prefix=prefix,
        taps=taps,
        grids=grids,
        arguments=arguments,
        size=size,
    )
    backbone.fixed_size, backbone.size_multiple = find_sizes(run, size)
    is_flat = len({grid.stride for grid in grids}) == 1 and grids[-1].layout == "tokens"
    if backbone.fixed_size is None and is_flat:
        backbone.size_multiple = grids[-1].stride  # else the rest of the image is cut off
    backbone.in_channels = wish.in_channels
    backbone.preprocessing = preprocessing
    backbone.first_layers = _first_layers(wish, module, trunk.pooler)
    declare(wish, backbone, trunk, trace, sections)
    return backbone, None if pooling in ("classifier", "maps") else pooling


def _keeps_pooler(wish: Wish) -> bool:
    """Tells whether a pooler that can be left out is read: where it was asked for, or trained."""
    if wish.pooling is not None:
        return wish.pooling == "pooler"
    if wish.keys:
        return any("pooler." in key for key in wish.keys)
    return wish.kind.is_base


def _arguments(wish: Wish, trunk: nn.Module) -> dict[str, Any]:
    if not wish.interpolates:
        return {}
    taken = inspect.signature(trunk.forward).parameters
    if "interpolate_pos_encoding" not in taken:
        raise OptionError(
            f"hf/{wish.source.name}: {type(trunk).__name__} takes no `interpolate_pos_encoding`"
        )
    return {"interpolate_pos_encoding": True}


def _levels(
    wish: Wish,
    sections: tuple[Section, ...],
    trace: Trace,
    size: tuple[int, int],
) -> tuple[tuple[str, ...], tuple[Grid, ...]]:
    """Gives the modules whose outputs are maps, and how these lie, fine to coarse."""
    if wish.kind.gives_maps:
        maps = [
            find_grid(tuple(each.shape), size, None, False) for each in trace.output.feature_maps
        ]
        return (), tuple(grid for grid in maps if grid is not None)
    is_flat = all(len(section.layers) == 1 for section in sections) and (
        len({trace.runs[section.layers[0]].shape for section in sections}) == 1
    )
    patch = _patch(wish.kind.config)
    found: dict[int, tuple[str, Grid]] = {}
    layers = [path for section in sections for path in section.layers if path in trace.runs]
    for index, path in enumerate(layers):
        grid = find_grid(trace.runs[path].shape, size, patch, is_flat)
        if grid is not None:  # of a hierarchical network, the last at each stride
            found[index if is_flat else -grid.stride] = path, grid
    ordered = sorted(found.values(), key=lambda pair: pair[1].stride)
    return tuple(path for path, _ in ordered), tuple(grid for _, grid in ordered)


def _pooling(wish: Wish, trace: Trace, prefix: int) -> str:
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


def _first_layers(wish: Wish, trunk: nn.Module, pooler: bool) -> tuple[str, ...]:
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
