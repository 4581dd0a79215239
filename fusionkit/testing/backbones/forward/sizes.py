"""Whether a backbone takes the image sizes that it says it takes, and refuses all others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fusionkit.backbone.contract import Backbone
from fusionkit.errors import DataError
from fusionkit.testing.backbones.forward.compare import named
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.inputs import resized

__all__ = ["other_sizes_are_refused_or_run"]


@check("make check_input run on images of any size", on_meta=True)
def other_sizes_are_refused_or_run(subject: BackboneSubject) -> Iterator[Finding]:
    """Odd and oblong images are refused by ``check_input`` with ``DataError``, or run."""
    if not subject.sizes:
        raise NotApplicableError("its inputs are no images")
    backbone = subject.copy()
    for size in _others(backbone, subject.sizes[0]):
        x = subject.place(resized(backbone.example(2), size))
        told = f"{size[0]} x {size[1]} pixels"
        try:
            backbone.check_input(x)
        except DataError:
            continue
        except Exception as error:
            yield Finding(
                f"check_input raises {type(error).__name__} on {told}: {error}",
                "raise fusionkit.DataError, with what is taken and what came",
            )
            continue
        if why := _forbids(backbone, size):
            yield Finding(
                f"check_input accepts {told}, though {why}",
                "call super().check_input(x) in check_input, or declare the sizes that are taken",
            )
            continue
        try:
            answer = subject.run(backbone, x)
        except Exception as error:
            yield Finding(
                f"check_input accepts {told}, and forward raises {type(error).__name__}: "
                f"{str(error)[:300]}",
                "set size_multiple, or fixed_size, to what the trunk takes, or refuse the size in "
                "check_input with fusionkit.DataError",
            )
            continue
        yield from _other_forms(subject, answer, told)


def _others(backbone: Backbone, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Gives sizes near the smallest that runs: one pixel more, one step wider, odd.

    Without a declared step there is one too whose sides leave no even number of patches of 2, 4, 8
    or 16 pixels, as 68 and 94 beside 64.
    """
    height, width = size
    step = max(backbone.size_multiple, 1)
    near = [(height + 1, width + 1), (height, width + (step if step > 1 else 9))]
    return [*near, (height + 4, width + 30) if step == 1 else (height + step, width)]


def _forbids(backbone: Backbone, size: tuple[int, int]) -> str:
    """Gives what the backbone declares that speaks against a size."""
    if backbone.fixed_size is not None and size != tuple(backbone.fixed_size):
        return f"fixed_size is {backbone.fixed_size}"
    if any(side % max(backbone.size_multiple, 1) for side in size):
        return f"size_multiple is {backbone.size_multiple}"
    return ""


def _other_forms(subject: BackboneSubject, answer: Any, told: str) -> Iterator[Finding]:
    found = named(answer, subject.reads)
    for name, value in named(subject.answer, subject.reads).items():
        came = found.get(name)
        # how large maps are is asked by levels_are_as_declared
        wanted = tuple(value.shape) if name == "vector" else (value.ndim,)
        shape = None if came is None else tuple(came.shape)
        if shape is None or (shape if name == "vector" else (len(shape),)) != wanted:
            yield Finding(
                f"at {told} the {name} has shape {shape}, elsewhere {tuple(value.shape)}",
                "pool to a width that does not depend on the size, or refuse the size",
            )
