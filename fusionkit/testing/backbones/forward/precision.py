"""Whether a backbone runs in other floating-point types than the one it was built in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from fusionkit.testing.backbones.forward.compare import deviation, named
from fusionkit.testing.backbones.forward.rounding import BLURRED, is_rounding
from fusionkit.testing.backbones.forward.steadiness import require_steady
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.inputs import first_of, floats_to

__all__ = ["runs_in_double_precision", "runs_under_autocast"]

DOUBLE = 1e-2
HALF = 0.5
"""How far bfloat16, of 8 bits, may lead a deep network astray, as a part of the largest value."""


@check("make new tensors in forward like those that are there: x.new_zeros, dtype=x.dtype")
def runs_in_double_precision(subject: BackboneSubject) -> Iterator[Finding]:
    """After ``.double()`` it gives float64, near what it gives in float32."""
    require_steady(subject)
    x = floats_to(subject.example(), torch.float64)
    answer = subject.run(subject.copy().double(), x)
    for name, value in named(answer, subject.reads).items():
        if value.dtype != torch.float64:
            yield Finding(
                f"in float64 the {name} is {value.dtype}",
                "cast nothing to a fixed dtype, or back to x.dtype afterwards",
            )
    yield from _far(subject, answer, DOUBLE, torch.float32, "in float64")


@check("make forward run under torch.autocast, where layers give bfloat16")
def runs_under_autocast(subject: BackboneSubject) -> Iterator[Finding]:
    """Under autocast to bfloat16 it gives finite answers, not far off; to float16 it runs."""
    require_steady(subject)
    backbone = subject.copy()
    with torch.autocast("cpu", torch.bfloat16):
        answer = subject.run(backbone, subject.example())
    yield from _in_float16(subject)
    yield from _far(subject, answer, HALF, torch.bfloat16, "under autocast to bfloat16")


def _in_float16(subject: BackboneSubject) -> Iterator[Finding]:
    """Asks one sample in the type whose range is narrow.

    What comes out is not judged: unlike a GPU's, the CPU's autocast leaves lengths and sums in it.
    """
    x, where = first_of(subject.example()), "under autocast to float16"
    try:
        with torch.autocast("cpu", torch.float16):
            subject.run(subject.copy(), x)
    except RuntimeError as error:  # any other is for want of kernels, which a GPU has
        if "overflow" in str(error):
            yield Finding(
                f"{where} it raises RuntimeError: {error!s:.200}",
                "mask with -torch.inf or torch.finfo(x.dtype).min: float16 ends at 65,504",
            )


def _far(
    subject: BackboneSubject, answer: Any, tolerance: float, coarser: torch.dtype, where: str
) -> Iterator[Finding]:
    """Says what is off by more than the coarser of two types explains."""
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
            if is_rounding(subject, answer, subject.answer, tolerance, coarser):
                raise NotApplicableError(BLURRED)
            yield Finding(
                f"{where} the {name} is off by {apart:.2g} of its largest value",
                "keep statistics and positions in float32, and cast nothing to fewer bits",
            )
