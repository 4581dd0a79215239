"""What a head makes of large, empty and half-precise numbers."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from fusionkit.testing.check import Check, Finding, NotApplicableError
from fusionkit.testing.heads.each import check_each, distance
from fusionkit.testing.heads.learning import backward, clone_features, unhealthy_gradients
from fusionkit.testing.heads.subject import HeadCase, HeadSubject, misfit

__all__ = ["CHECKS"]

LARGE = 1e3
NEAR = 0.1
"""How far half precision may lie from float32, relative to the largest score."""

WIDEN = (
    "compute softmax, norms, squares and products in float32: x.float() where x.dtype is half, "
    "or F.layer_norm, F.normalize and log_softmax on the widened tensor"
)


@check_each("keep large features finite")
def large_features(case: HeadCase) -> Iterator[Finding]:
    """Features of size 1,000, as some networks give them, leave answer and gradients finite."""
    yield from _ask_at(case, LARGE)


@check_each("keep features of zero finite")
def zero_features(case: HeadCase) -> Iterator[Finding]:
    """Features that are all zero, as behind a dead ReLU, leave answer and gradients finite."""
    yield from _ask_at(case, 0.0)


def _ask_at(case: HeadCase, scale: float) -> Iterator[Finding]:
    head = case.build()
    features = case.features(scale=scale, requires_grad=True)
    answer = head(clone_features(features))
    fault = misfit(answer, 4, case.situation.num_classes)
    if fault is not None:
        yield Finding(f"{fault.what}, for features of size {scale:g}", fault.todo)
    elif answer.requires_grad:
        backward(answer)
        yield from unhealthy_gradients(head, features)


@check_each("make forward work under torch.autocast with float16")
def float16_autocast(case: HeadCase) -> Iterator[Finding]:
    """Under float16 autocast the answer is finite and near float32's, for large features too."""
    for scale in (1.0, LARGE):
        yield from _ask_half(case, torch.float16, scale)


@check_each("make forward work under torch.autocast with bfloat16")
def bfloat16_autocast(case: HeadCase) -> Iterator[Finding]:
    """Under bfloat16 autocast the answer is finite and near float32's."""
    yield from _ask_half(case, torch.bfloat16, 1.0)


def _ask_half(case: HeadCase, dtype: torch.dtype, scale: float) -> Iterator[Finding]:
    head = case.build()
    given = case.features(scale=scale, dtype=dtype)
    with torch.autocast("cpu", dtype=dtype):
        half = head(given)
    yield from _compare(case, half, dtype, f"under autocast, for features of size {scale:g}")
    if scale == 1.0 and half.requires_grad and bool(half.isfinite().all()):
        backward(half)
        yield from unhealthy_gradients(head, {})


@check_each("make forward work in the type of the parameters")
def bfloat16_head(case: HeadCase) -> Iterator[Finding]:
    """A head that is bfloat16 as a whole takes bfloat16 features."""
    head = case.build().to(torch.bfloat16)
    answer = case.run(head, case.features(dtype=torch.bfloat16))
    yield from _compare(case, answer, torch.bfloat16, "for head and features in bfloat16")


def _compare(
    case: HeadCase, half: torch.Tensor, dtype: torch.dtype, where: str
) -> Iterator[Finding]:
    fault = misfit(half, 4, case.situation.num_classes)
    if fault is not None:
        yield Finding(f"{fault.what} {where}", WIDEN)
        return
    scale = LARGE if where.endswith(f"{LARGE:g}") else 1.0
    rounded = {
        name: type(each)(
            None if each.vector is None else each.vector.float(),
            tuple(map_.float() for map_ in each.maps),
            None if each.logits is None else each.logits.float(),
        )
        for name, each in case.features(scale=scale, dtype=dtype).items()
    }
    exact = case.run(case.build(), rounded)
    if not bool(exact.isfinite().all()):
        raise NotApplicableError("the answer is not finite in float32 either")
    gap = distance(half, exact)
    if gap > NEAR:
        yield Finding(f"{where} the answer is {gap:.2g} of its size away from float32's", WIDEN)


CHECKS: tuple[Check[HeadSubject], ...] = (
    large_features,
    zero_features,
    float16_autocast,
    bfloat16_autocast,
    bfloat16_head,
)
