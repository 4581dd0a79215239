"""Whether a backbone goes through changes of type and memory layout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from fusionkit.backbone.contract import Backbone
from fusionkit.features import Features
from fusionkit.tensors.layout import channels_last, to_channels_last
from fusionkit.testing.backbones.forward.rounding import BLURRED, is_rounding
from fusionkit.testing.backbones.keeping.answers import (
    difference,
    require_steady,
    ties,
)
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.inputs import first_of, floats_to

__all__ = ["casting_leaves_nothing_behind", "takes_channels_last"]

LAYOUT_NOISE = 1e-3
"""Of the largest value: other kernels add in another order."""

OWN = (
    "keep what is worked out from parameters only within a pass, or override _apply to drop it, "
    "and hold constants in register_buffer(persistent=False), which .to() converts"
)


@check(OWN)
def casting_leaves_nothing_behind(subject: BackboneSubject) -> Iterator[Finding]:
    """Cast to another type and back after use, it answers as one that was cast before."""
    used = subject.copy()
    fresh = subject.copy()
    x = subject.example()
    tied = ties(used)
    subject.run(used, x)
    for backbone in (used, fresh):
        backbone.bfloat16().float()
    if ties(used) != tied:
        yield Finding("tied parameters are not tied after .bfloat16()", "leave _apply as it is")
    wanted = subject.run(fresh, x)
    told = difference(subject.run(used, x), wanted)
    if told:
        require_steady(subject)
        yield Finding(f"run, then rounded by .bfloat16().float(): {told}", OWN)
        return
    yield from _in_double(subject, used, x, wanted)


def _in_double(
    subject: BackboneSubject, used: Backbone, x: Any, wanted: Features
) -> Iterator[Finding]:
    """Says what goes wrong in double precision only after use, and what is left of it."""
    fine = floats_to(first_of(x), torch.float64)  # one will do, since this is slow
    try:
        subject.run(used.double(), fine)
    except Exception as error:  # whatever a stranger's forward raises, if a fresh one does not
        if _runs(subject, subject.copy().double(), fine):
            yield Finding(f"run, then .double(): {type(error).__name__}: {error!s:.300}", OWN)
        return
    told = difference(subject.run(used.float(), x), wanted)
    if told:
        yield Finding(f"run in double precision, and back by .float(): {told}", OWN)


def _runs(subject: BackboneSubject, backbone: Backbone, x: Any) -> bool:
    try:
        subject.run(backbone, x)
    except Exception:
        return False
    return True


@check("use .reshape or .flatten for .view in forward, which takes any memory layout")
def takes_channels_last(subject: BackboneSubject) -> Iterator[Finding]:
    """In the channels-last memory format, it gives the same answer."""
    if not subject.takes_images:
        return
    x = subject.example()
    backbone = subject.copy()
    to_channels_last(backbone, x.ndim)
    got = subject.run(backbone, channels_last(x, x.ndim))
    told = difference(got, subject.answer, LAYOUT_NOISE)
    if told:
        require_steady(subject)
        if is_rounding(subject, got, subject.answer, LAYOUT_NOISE):
            raise NotApplicableError(BLURRED)
        yield Finding(
            f"in the channels-last memory format: {told}",
            "go by the sizes of tensors, never by their strides",
        )
