"""Whether what comes out has the declared widths and strides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from fusionkit.backbone.depth import Level
from fusionkit.features import Features
from fusionkit.testing.backbones.forward.compare import named
from fusionkit.testing.backbones.forward.strides import misfits, misfits_of_one
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.inputs import resized
from fusionkit.testing.words import some

__all__ = ["levels_are_as_declared", "vector_is_as_declared"]


@check("make forward give Features(vector=...) of shape 'b d' with d = embed_dim", on_meta=True)
def vector_is_as_declared(subject: BackboneSubject) -> Iterator[Finding]:
    """The vector is "b d" as wide as ``embed_dim``, floating-point and finite."""
    width = subject.pristine.embed_dim
    vector: object = subject.answer.vector
    if not isinstance(vector, Tensor):
        yield Finding(
            f"the vector was read, and {type(vector).__name__} came",
            "give Features(vector=...) whenever reads.vector is true",
        )
        return
    if tuple(vector.shape) != (2, width):
        yield Finding(
            f"embed_dim is {width}, but a batch of 2 gives a vector of {tuple(vector.shape)}",
            "set embed_dim to the width that comes out, and pool what is not yet 'b d', for "
            "example x.mean((2, 3)) or x.mean(1)",
        )
    if not vector.is_floating_point():
        yield Finding(f"the vector is {vector.dtype}", "give floating-point features")
    elif vector.dtype == torch.float64 and not _has_doubles(subject):
        yield Finding(
            "the vector is float64, and parameters and input are not",
            "make constants in the dtype of the input: torch.tensor(..., dtype=x.dtype)",
        )
    elif vector.requires_grad:
        yield Finding(
            "asked under torch.no_grad(), the vector has a gradient",
            "leave torch.set_grad_enabled and enable_grad out of forward; who calls decides",
        )
    elif not vector.is_meta and not bool(vector.isfinite().all()):
        yield Finding(
            f"{int((~vector.isfinite()).sum())} of {vector.numel()} values of the vector are not "
            "finite",
            "look for a division by zero, or a logarithm or square root of what can be negative",
        )
    elif subject.takes_images and not vector.is_meta:
        yield from _of_zeros(subject)


def _of_zeros(subject: BackboneSubject) -> Iterator[Finding]:
    """Asks for images without any contrast, as the borders of a scan are."""
    answer = subject.run(subject.copy(), torch.zeros_like(subject.example()))
    wild = [
        name for name, value in named(answer, subject.reads).items() if not value.isfinite().all()
    ]
    if wild:
        yield Finding(
            f"of images that are zero throughout, {some(wild)} are not finite",
            "add an epsilon where forward divides by a deviation or a length",
        )


def _has_doubles(subject: BackboneSubject) -> bool:
    given = [*subject.pristine.parameters(), *pytree.tree_leaves(subject.example())]
    return any(isinstance(each, Tensor) and each.dtype == torch.float64 for each in given)


@check("make forward give one map 'b c h w' for each level in reads.levels", on_meta=True)
def levels_are_as_declared(subject: BackboneSubject) -> Iterator[Finding]:
    """Maps are "b c h w" of the declared channels and strides, fine to coarse, at two sizes."""
    levels = subject.pristine.levels
    if not levels:
        raise NotApplicableError("it declares no levels")
    strides = [level.stride for level in levels]
    if strides != sorted(strides):
        yield Finding(
            f"the levels' strides are {strides}", "list the levels fine to coarse, stride ascending"
        )
    maps: Any = subject.answer.maps
    if not isinstance(maps, tuple) or not all(isinstance(value, Tensor) for value in maps):
        yield Finding(
            f"maps is {type(maps).__name__} of {[type(each).__name__ for each in maps]}",
            "give Features(maps=...) a tuple of tensors",
        )
        return
    if len(maps) != len(levels):
        yield Finding(
            f"{len(levels)} levels are declared and were read, {len(maps)} maps came",
            "give one map for each index in reads.levels, in that order",
        )
        return
    wrong = [
        finding
        for index, (level, value) in enumerate(zip(levels, maps, strict=True))
        for finding in _misshapen(index, level, value)
    ]
    yield from wrong
    if not wrong and subject.sizes:
        yield from _strides(subject, maps)


def _misshapen(index: int, level: Level, value: Tensor) -> Iterator[Finding]:
    shape = tuple(value.shape)
    if value.ndim == 3:
        yield Finding(
            f"level {index} gives {shape}, which are tokens",
            "fold them: drop class tokens, then einops.rearrange(x, 'b (h w) c -> b c h w', h=h)",
        )
    elif value.ndim != 4:
        yield Finding(
            f"level {index} gives {shape}",
            "give maps 'b c h w'; frames of a clip are averaged",
        )
    elif shape[1] != level.channels:
        turned = shape[3] == level.channels
        yield Finding(
            f"level {index} declares {level.channels} channels and gives {shape}"
            + (", with the channels last" if turned else ""),
            "write x.permute(0, 3, 1, 2)" if turned else f"declare Level({shape[1]}, ...)",
        )
    elif shape[0] != 2:
        yield Finding(f"level {index} gives {shape} for a batch of 2", "keep the batch first")
    elif not value.is_floating_point() or not (value.is_meta or bool(value.isfinite().all())):
        yield Finding(
            f"the map of level {index} ({value.dtype}) is not finite and floating-point",
            "look for a division by zero, or a logarithm or square root of what can be negative",
        )


def _strides(subject: BackboneSubject, maps: tuple[Tensor, ...]) -> Iterator[Finding]:
    """Holds heights and widths against the strides, at two sizes where the backbone takes two."""
    levels, first = subject.pristine.levels, subject.sizes[0]
    at_first = [(int(value.shape[2]), int(value.shape[3])) for value in maps]
    if len(subject.sizes) == 1:
        for index, (level, found) in enumerate(zip(levels, at_first, strict=True)):
            for what in misfits_of_one(level.stride, first, found):
                yield Finding(f"level {index} {what}", "declare the stride that comes out")
        return
    second, maps_again = _at_another_size(subject)
    for index, (level, found) in enumerate(zip(levels, at_first, strict=True)):
        if index >= len(maps_again) or maps_again[index].ndim != 4:
            yield Finding(
                f"level {index} gives no map at {second[0]} x {second[1]} pixels",
                "give the same levels at every size",
            )
            continue
        again = (int(maps_again[index].shape[2]), int(maps_again[index].shape[3]))
        for what in misfits(level.stride, first, found, second, again):
            yield Finding(
                f"level {index} {what}",
                "declare Level(channels, stride) with the stride that comes out, and fold tokens "
                "by the height and width that the input has",
            )


def _at_another_size(subject: BackboneSubject) -> tuple[tuple[int, int], tuple[Tensor, ...]]:
    """Gives another size and the maps at it; not square where the backbone takes that.

    Height and width then tell which of them a map follows.
    """
    first, second = subject.sizes
    for size in ((first[0], second[1]), second):
        x = subject.place(resized(subject.pristine.example(2), size))
        try:
            subject.pristine.check_input(x)
            with torch.no_grad():
                answer: object = subject.copy()(x, subject.reads)
        except Exception:
            if size == second:
                raise
            continue  # that it takes no such size is told by the check of sizes
        return size, tuple(answer.maps) if isinstance(answer, Features) else ()
    raise AssertionError
