"""How each model is built to take an input as small as it can."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fusionkit.backbone.contract import Backbone

__all__ = ["Small", "make_small"]

SIDES = (64, 56, 96, 112, 128, 160, 192)
"""Tried in this order for a model that takes one size only and an option to say which."""

SIZE_OPTIONS = ("img_size", "image_size")

BUILT_WITH_DATA = ("torchvision/regnet_*",)
"""Models that compute with values while they are built, which the meta device has not."""

EXAMPLES: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("timm/gemma4_vit_*_enc", (96, 96)),  # the first that matches: multiples of 48
    ("timm/gemma4_vit_*", (64, 64)),
    ("torchvision/r3d_18", (4, 112, 112)),
    ("torchvision/mc3_18", (4, 112, 112)),
    ("torchvision/r2plus1d_18", (4, 112, 112)),
    ("torchvision/swin3d_*", (4, 224, 224)),
    ("torchvision/s3d", (13, 224, 224)),
)
"""Smaller samples than their own, of models that take any number of frames, or whose own is so
large that to be composed, which measures them on it, they would need more memory than a sweep."""


@dataclass(frozen=True, slots=True)
class Small:
    """A factory that builds a model for small inputs.

    Attributes:
        make: builds it.
        options: with which.
        built: one of them, without data.
    """

    make: Callable[..., Backbone]
    options: Mapping[str, Any]
    built: Backbone


def make_small(model: str, factory: Callable[..., Backbone], *, shrink: bool = True) -> Small:
    """Gives the way to build a model that allows the smallest input.

    Args:
        model: ``provider/name``.
        factory: builds it as it is.
        shrink: whether to look for options that make it smaller than it is.
    """
    sample = next((sides for glob, sides in EXAMPLES if fnmatchcase(model, glob)), None)
    make = factory if sample is None else partial(_with_example, factory, sample)
    if any(fnmatchcase(model, glob) for glob in BUILT_WITH_DATA):
        make = partial(_emptied, make)
    built = _look(make)
    if built.fixed_size is None or not shrink:
        return Small(make, {}, built)
    for option in SIZE_OPTIONS:
        for side in SIDES:
            if side >= max(built.fixed_size):
                continue
            chosen = partial(make, **{option: side})
            try:
                small = _look(chosen)
            except Exception:  # noqa: S112 - every library refuses in its own way
                continue
            if all(side % level.stride == 0 for level in small.levels):
                return Small(chosen, {option: side}, small)
    return Small(make, {}, built)


def _look(make: Callable[..., Backbone]) -> Backbone:
    """Gives a backbone without data."""
    with torch.device("meta"):
        return make(in_channels=3, weights=None, num_classes=None)


def _emptied(factory: Callable[..., Backbone], **arguments: Any) -> Backbone:
    """Builds a model that computes with values while it is built, and empties it if asked to."""
    device = torch.get_default_device()
    with torch.device("cpu"):
        built = factory(**arguments)
    return built.to(device)


def _with_example(
    factory: Callable[..., Backbone], sides: tuple[int, ...], **arguments: Any
) -> Backbone:
    """Gives a model whose example is smaller than its own."""
    built = factory(**arguments)
    built.example = partial(_noise, (built.in_channels, *sides))  # type: ignore[method-assign]
    return built


def _noise(shape: tuple[int, ...], batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, *shape, generator=generator)
