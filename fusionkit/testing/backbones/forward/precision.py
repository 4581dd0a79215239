"""Whether a backbone runs in other floating-point types than the one it was built in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from fusionkit.testing.backbones.forward.compare import deviation, named
from fusionkit.testing.backbones.forward.steadiness import require_steady
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, check
from fusionkit.testing.inputs import first_of
from fusionkit.testing.words import some

__all__ = ["runs_in_double_precision", "runs_under_autocast"]

DOUBLE = 1e-2
HALF = 0.5
"""How far bfloat16, of 8 bits, may lead a deep network astray, as a part of the largest value."""

LARGE = 1e4
"""Sums of what stays below it are not far from the end of float16, and may pass it."""


@check("make new tensors in forward like those that are there: x.new_zeros, dtype=x.dtype")
def runs_in_double_precision(subject: BackboneSubject) -> Iterator[Finding]:
    """After ``.double()`` it gives float64, near what it gives in float32."""
    require_steady(subject)
    x = pytree.tree_map_only(Tensor, _doubled, subject.example())
    answer = subject.run(subject.copy().double(), x)
    yield from _far(subject, answer, DOUBLE, "in float64")
    for name, value in named(answer, subject.reads).items():
        if value.dtype != torch.float64:
            yield Finding(
                f"in float64 the {name} is {value.dtype}",
                "cast nothing to a fixed dtype, or back to x.dtype afterwards",
            )


@check("make forward run under torch.autocast, where layers give bfloat16")
def runs_under_autocast(subject: BackboneSubject) -> Iterator[Finding]:
    """Under autocast it gives finite answers, under that to bfloat16 not far off."""
    require_steady(subject)
    backbone = subject.copy()
    with torch.autocast("cpu", torch.bfloat16):
        answer = subject.run(backbone, subject.example())
    yield from _far(subject, answer, HALF, "under autocast to bfloat16")
    yield from _in_float16(subject)


def _in_float16(subject: BackboneSubject) -> Iterator[Finding]:
    """Asks one sample in the type whose range is narrow, on the CPU as on a GPU."""
    x, where = first_of(subject.example()), "under autocast to float16"
    try:
        with torch.autocast("cpu", torch.float16):
            answer = subject.run(subject.copy(), x)
    except RuntimeError as error:  # any other is for want of kernels, which a GPU has
        if "overflow" in str(error):
            yield Finding(
                f"{where} it raises RuntimeError: {error!s:.200}",
                "mask with -torch.inf or torch.finfo(x.dtype).min: float16 ends at 65,504",
            )
        return
    found = named(answer, subject.reads)
    wild = [
        name
        for name, expected in named(subject.answer, subject.reads).items()
        if name in found and expected.isfinite().all() and not found[name].isfinite().all()
    ]
    if wild and _largest_value(subject, x) < LARGE:
        yield Finding(
            f"{where} the {some(wild)} is not finite, though nothing is large in float32",
            "compute lengths, deviations and exponentials in float32: epsilons below 1e-7 are zero "
            "in float16",
        )


def _largest_value(subject: BackboneSubject, x: Any) -> float:
    """Gives the largest value that anything comes to in a pass in float32."""
    backbone = subject.copy()
    seen = _Largest()  # type: ignore[no-untyped-call]
    with seen:
        subject.run(backbone, x)
    return seen.value


class _Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the largest of all values that operators give."""

    value: float = 0.0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = function(*args, **(kwargs or {}))
        for each in pytree.tree_leaves(given):
            if isinstance(each, Tensor) and each.is_floating_point() and each.numel():
                self.value = max(self.value, float(each.abs().max()))
        return given


def _doubled(value: Tensor) -> Tensor:
    return value.double() if value.is_floating_point() else value


def _far(subject: BackboneSubject, answer: Any, tolerance: float, where: str) -> Iterator[Finding]:
    found = named(answer, subject.reads)
    for name, expected in named(subject.answer, subject.reads).items():
        value = found.get(name)
        if value is None or value.shape != expected.shape:
            yield Finding(
                f"{where} the {name} is {None if value is None else tuple(value.shape)}",
                "give the same shapes in every precision",
            )
        elif bool(expected.isfinite().all()) and not bool(value.isfinite().all()):
            yield Finding(
                f"{where} the {name} is not finite",
                "keep sums of many squares and exponentials in float32",
            )
        elif (apart := deviation(value, expected)) > tolerance:
            yield Finding(
                f"{where} the {name} is off by {apart:.2g} of its largest value",
                "keep statistics and positions in float32, and cast nothing to fewer bits",
            )
